import { WorkerLinkState } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { attemptOf, workerRecord, workerVitals } from "./samples.ts";
import {
  clockText,
  drainedBy,
  heardAgo,
  isGone,
  restarts,
  roundTrip,
  takesWork,
  workerClock,
  workerWord,
} from "./worker-state.ts";

const nowMs = 1_000_000_000;
const heard = (agoMs: number, state: WorkerLinkState, connected = true) =>
  workerVitals(nowMs - agoMs, {
    connected,
    link: { state, heardAtUs: BigInt((nowMs - agoMs) * 1000) },
  });
const plain = (text: string) => text.replaceAll("\u00a0", " ");
const { CONNECTED, SILENT, LOST } = WorkerLinkState;

describe("a worker's state", () => {
  test.each([
    ["Connected", {}, heard(2_000, CONNECTED)],
    ["Draining", { drain: {} }, heard(2_000, CONNECTED)],
    ["Silent", {}, heard(11_000, SILENT)],
    ["Silent", { drain: {} }, heard(11_000, SILENT)],
    ["Silent", {}, heard(1_000, CONNECTED, false)],
    ["Silent", {}, undefined],
    ["Lost", { drain: {} }, heard(20_000, LOST, false)],
    ["Left", { leftAtUs: 1n, drain: {} }, undefined],
  ] as const)("is %s", (word, record, vitals) => {
    expect(workerWord(workerRecord(record), vitals)).toBe(word);
  });

  test("takes work unless it drains, is lost, has left or has no stream", () => {
    for (const [takes, record, vitals] of [
      [true, {}, heard(0, CONNECTED)],
      [true, {}, heard(11_000, SILENT)],
      [false, { drain: {} }, heard(11_000, SILENT)],
      [false, { drain: {} }, heard(0, CONNECTED)],
      [false, {}, heard(20_000, LOST)],
      [false, {}, heard(1_000, CONNECTED, false)],
      [false, {}, undefined],
      [false, { leftAtUs: 1n }, undefined],
    ] as const)
      expect(takesWork(workerRecord(record), vitals)).toBe(takes);
  });
});

describe("a worker's clocks", () => {
  test("a silent one says for how long and when it is lost", () => {
    expect(plain(workerClock(workerRecord(), heard(11_000, SILENT), nowMs))).toBe("silent for 11 s, lost in 4 s");
    expect(plain(workerClock(workerRecord(), heard(11_400, SILENT), nowMs))).toBe("silent for 11 s, lost in 4 s");
    expect(plain(workerClock(workerRecord(), heard(16_000, SILENT), nowMs))).toBe("silent for 16 s");
  });

  test("one whose stream has closed says so at once", () => {
    expect(plain(workerClock(workerRecord(), heard(3_000, CONNECTED, false), nowMs))).toBe(
      "link closed, heard 3 s ago, lost in 12 s",
    );
  });

  test("a lost one says for how long, from the end of its lease, and since when", () => {
    expect(plain(workerClock(workerRecord(), heard(175_000, LOST), nowMs))).toMatch(
      /^lost for 2 m 40 s, since \d\d:\d\d:\d\d$/,
    );
  });

  test("one that was never heard in the server's life claims no number", () => {
    for (const state of [SILENT, LOST])
      expect(workerClock(workerRecord(), workerVitals(0, { link: { state }, connected: false }), nowMs)).toBe(
        "not heard since the server started",
      );
    expect(workerClock(workerRecord(), undefined, nowMs)).toBe("not heard since the server started");
    expect(heardAgo(undefined, nowMs)).toBe("–");
  });

  test("one that is heard is never shown as longer unheard than a silent one", () => {
    const ago = (ms: number, state: WorkerLinkState) => plain(heardAgo(heard(ms, state), nowMs));
    expect([ago(9_900, CONNECTED), ago(12_000, CONNECTED), ago(12_000, SILENT)]).toEqual(["9 s", "< 10 s", "12 s"]);
  });

  test("a draining one says what it still has to do, and who drained it and why", () => {
    const record = workerRecord({
      drain: { actor: { name: "ana" }, atUs: BigInt((nowMs - 721_000) * 1000), reason: "disk swap" },
    });
    const vitals = heard(0, CONNECTED);
    expect(workerClock(record, vitals, nowMs)).toBe("runs nothing, can be stopped");
    const busy = workerVitals(nowMs, { attempts: [attemptOf("a"), attemptOf("b")] });
    expect(plain(workerClock(record, busy, nowMs))).toBe("2 jobs to end");
    expect(plain(drainedBy(record, nowMs))).toBe("by ana 12 m 01 s ago, “disk swap”");
  });

  test("a clock that is off is worth a word from a tenth of a second, and bad from two seconds", () => {
    const off = (ms: number) => clockText(workerVitals(nowMs, { clockOffsetUs: BigInt(ms * 1000) }));
    expect(off(0)).toBeUndefined();
    expect(off(-99)).toBeUndefined();
    expect(off(400)).toMatchObject({ bad: false });
    expect(plain(off(400)?.text ?? "")).toBe("0.4 s behind, times of lines are corrected");
    expect(off(-2_000)).toMatchObject({ bad: true });
    expect(plain(off(-2_000)?.text ?? "")).toContain("2.0 s ahead");
  });

  test("round trips are short where they are short", () => {
    const trip = (roundTripUs: number) => plain(roundTrip(workerVitals(nowMs, { link: { roundTripUs } })));
    expect([0, 120, 2_140, 18_400, 1_200_000].map(trip)).toEqual(["–", "0.1 ms", "2.1 ms", "18 ms", "1.2 s"]);
  });

  test("the epoch tells the restarts", () => {
    expect([0n, 1n, 3n].map((epoch) => restarts(workerRecord({ epoch })))).toEqual([0, 0, 2]);
  });
});

test("a worker is gone once it left, or when nobody heard it for a day and it holds no job", () => {
  const now = 3 * 86_400_000;
  const lost = (agoMs: number, attempts = 0) =>
    workerVitals(now - agoMs, {
      connected: false,
      link: { state: LOST, heardAtUs: BigInt((now - agoMs) * 1000) },
      attempts: attempts > 0 ? [attemptOf("a")] : [],
    });
  expect(isGone(workerRecord({ leftAtUs: 1n }), undefined, now)).toBe(true);
  expect(isGone(workerRecord(), lost(3_600_000), now)).toBe(false);
  expect(isGone(workerRecord(), lost(86_500_000), now)).toBe(true);
  expect(isGone(workerRecord(), lost(86_500_000, 1), now)).toBe(false);
  expect(isGone(workerRecord(), undefined, now)).toBe(true);
  expect(isGone(workerRecord({ connectedAtUs: BigInt(now * 1000) }), undefined, now)).toBe(false);
});
