import { EndOutcome, type WatchResponse } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestRoom } from "../testing/open-test-room.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

const has = (kind: WatchResponse["message"]["case"]) => (seen: readonly WatchResponse[]) =>
  seen.some(({ message }) => message.case === kind);
const cursorOf = (seen: readonly WatchResponse[]) =>
  Uint8Array.from(seen.findLast(({ cursor }) => cursor.length > 0)?.cursor ?? []);
const ids = (seen: readonly WatchResponse[]) =>
  seen.flatMap(({ message }) => (message.case === "records" ? message.value.records.map(({ id }) => id) : []));

describe("watching jobs", () => {
  const subscription = (cursor = new Uint8Array()) => [
    { id: "jobs", cursor, kind: { case: "jobs" as const, value: {} } },
  ];

  test("from a cursor that is too old starts over with all that there is, once", async () => {
    await room.connect({ slots: 1 });
    const { id } = await room.start();
    const cursor = cursorOf(await room.watch(subscription(), has("caughtUp")));
    const table = room.domain.store.table("jobs");
    await table.put("j-gone", new Uint8Array());
    await table.delete("j-gone");
    await table.compact((await table.list()).revision);
    for (const from of [cursor, new Uint8Array()]) {
      const seen = await room.watch(subscription(from), has("caughtUp"));
      expect(seen.filter(({ message }) => message.case === "reset")).toHaveLength(1);
      expect(ids(seen)).toEqual([id]);
      expect(
        (await room.watch(subscription(cursorOf(seen)), has("caughtUp"))).filter(
          ({ message }) => message.case === "reset",
        ),
      ).toEqual([]);
    }
  });

  test("across a restart of the server goes on from its cursor", async () => {
    await room.connect({ slots: 1 });
    await room.start();
    const cursor = cursorOf(await room.watch(subscription(), has("caughtUp")));
    room.domain = await room.domain.reopen();
    const { id } = await room.start();
    const seen = await room.watch(subscription(cursor), (got) => ids(got).includes(id));
    expect(seen.filter(({ message }) => message.case === "reset")).toEqual([]);
  });

  test("with a cursor of another store starts over", async () => {
    await room.connect({ slots: 1 });
    const { id } = await room.start();
    await using other = await TestRoom.open();
    const foreign = cursorOf(await other.watch(subscription(), has("caughtUp")));
    const seen = await room.watch(subscription(foreign), has("caughtUp"));
    expect([seen.filter(({ message }) => message.case === "reset").length, ids(seen)]).toEqual([1, [id]]);
  });
});

describe("watching a log", () => {
  const log = (jobId: string, more = {}) => [{ id: "log", kind: { case: "log" as const, value: { jobId, ...more } } }];

  test("of a job that has no attempt yet waits for the first one", async () => {
    const worker = await room.connect({ slots: 1 });
    const busy = await room.startRunning(worker);
    const { id } = await room.start();
    const watching = room.watch(log(id), (seen) =>
      seen.some(({ message }) => message.case === "log" && message.value.endLine > 1n),
    );
    worker.report(busy, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
    const spec = await worker.heard("spec", ({ jobId }) => jobId === id);
    worker.report(spec);
    worker.push(id, 1).lines(["first"]);
    const seen = await watching;
    expect(seen.flatMap(({ message }) => (message.case === "log" ? [message.value.attempt] : []))).toContain(1);
  });

  test.each([
    ["from far beyond its end", { start: { case: "fromLine" as const, value: 2n ** 64n - 1n } }],
    ["from line 0", { start: { case: "fromLine" as const, value: 0n } }],
    ["its last 4 billion lines", { start: { case: "last" as const, value: 0xffff_ffff } }],
    ["its last 0 lines", { start: { case: "last" as const, value: 0 } }],
  ])("%s catches up, empty or not", async (_, start) => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    await room.watch(log(jobId, start), has("caughtUp"));
    const push = worker.push(jobId, 1);
    push.lines(["one", "two"]);
    await push.acknowledged(3);
    const seen = await room.watch(log(jobId, start), has("caughtUp"));
    expect(has("log")(seen)).toBe(true);
  });

  test.each([
    ["of an empty log", [], {}],
    ["of its last 0 lines", ["one", "two"], { start: { case: "last" as const, value: 0 } }],
    ["from beyond its end", ["one", "two"], { start: { case: "fromLine" as const, value: 99n } }],
  ])("that can get no more line tells its seal, and ends: %s", async (_, lines, start) => {
    const worker = await room.connect();
    const spec = await room.startRunning(worker);
    const endLine = BigInt(lines.length + 1);
    if (lines.length > 0) {
      const push = worker.push(spec.jobId, 1);
      push.lines(lines);
      await push.acknowledged(Number(endLine));
    }
    worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine, atUs: 1n } });
    await worker.heard("endAccepted");
    const seen = await room.watch(log(spec.jobId, start), has("caughtUp"));
    const entries = seen.flatMap(({ message }) => (message.case === "log" ? message.value.entries : []));
    expect(entries.map(({ entry }) => entry.case)).toEqual(["seal"]);
  });

  test("from the cursor behind its seal has caught up and says nothing more", async () => {
    const worker = await room.connect();
    const spec = await room.startRunning(worker);
    worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
    await worker.heard("endAccepted");
    const [subscription] = log(spec.jobId);
    const cursor = cursorOf(await room.watch(log(spec.jobId), has("caughtUp")));
    const seen = await room.watch([{ ...subscription, cursor }], has("caughtUp"));
    expect(seen.flatMap(({ message }) => (message.case === "log" ? message.value.entries : []))).toEqual([]);
  });
});

test("a stream of many subscriptions makes no warning of too many listeners", async () => {
  const warnings: string[] = [];
  const warned = (warning: Error) => warnings.push(warning.message);
  process.on("warning", warned);
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const subscriptions = Array.from({ length: 32 }, (_, i) => ({
    id: `${i}`,
    kind: { case: "job" as const, value: { jobId } },
  }));
  await room.watch(
    subscriptions,
    (seen) => seen.filter(({ message }) => message.case === "caughtUp").length === subscriptions.length,
  );
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", warned);
  expect(warnings).toEqual([]);
});

test("a page of large records holds fewer of them, and a token that nobody made is refused", async () => {
  await room.connect({ types: [{ name: "count", levers: ["run"], parametersSchema: { type: "object" } }] });
  for (let i = 0; i < 40; i++) await room.start({ text: "x".repeat(60_000) });
  const all: string[] = [];
  for (let pageToken = ""; ;) {
    const page = await room.domain.jobs.listJobs({ pageSize: 1000, pageToken });
    all.push(...page.jobs.map(({ id }) => id));
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect([all.length, new Set(all).size]).toEqual([40, 40]);
  await expect(room.domain.jobs.listJobs({ pageToken: "nonsense" })).rejects.toThrow(/page token/);
});

test("who asks for trends hears what a job printed, and who does not hears none", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const push = worker.push(jobId, 1);
  push.lines(["one", "two", "three"]);
  await push.acknowledged(4);
  const watching = (id: string, withTrends: boolean) => ({
    id,
    kind: { case: "jobs" as const, value: { withTrends } },
  });
  const seen = room.watch([watching("plots", true), watching("plain", false)], has("trends"));
  room.letPass(5);
  const told = (await seen).filter(({ message }) => message.case === "trends");
  expect(told.map(({ subscriptionId }) => subscriptionId)).toEqual(["plots"]);
  expect(told[0]?.message.value).toMatchObject({ trends: [{ jobId, bucketMs: 5_000, lines: [3], errors: [0] }] });
});
