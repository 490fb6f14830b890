import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  JobState,
  Level,
  type LeverValueSchema,
  ReceiptSchema,
  RunMode,
  VitalsSchema,
  WorkerLinkState,
} from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { measureOf, type Finding } from "./measures.ts";

type Lever = NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>;

const appliedAt = 1_000_000_000;
const logLevel = (level: Level): Lever => ({ case: "logLevel", value: { level } });

/** Looks at the job's vitals each `everyMs` from when the command was applied, until something is found. */
function look(
  value: Lever,
  vitalsAt: (ms: number) => MessageInitShape<typeof VitalsSchema>,
  { before, state = JobState.RUNNING, everyMs = 250, forMs = 60_000, fromMs = 50 }: LookOptions = {},
): { found: Finding; afterMs: number } {
  const measure = measureOf(
    create(ReceiptSchema, {
      value: { value },
      decidedAtUs: BigInt(appliedAt),
      atLine: 101n,
      ...(before ? { before: { value: before } } : {}),
    }),
  );
  for (let ms = fromMs; measure && ms <= forMs; ms += everyMs) {
    const now = appliedAt + ms * 1000;
    const found = measure(create(VitalsSchema, { asOfUs: BigInt(now), ...vitalsAt(ms) }), state, now);
    if (found) return { found, afterMs: ms };
  }
  return { found: undefined, afterMs: forMs };
}

interface LookOptions {
  readonly before?: Lever;
  readonly state?: JobState;
  readonly everyMs?: number;
  readonly forMs?: number;
  readonly fromMs?: number;
}

describe("a pause", () => {
  const pause: Lever = { case: "run", value: { mode: RunMode.PAUSE } };

  test("is proved by a counter that stands for a second, not by one that moves", () => {
    expect(look(pause, () => ({ itemsDone: 1204n }))).toEqual({
      found: { proof: "the counter stands at 1,204" },
      afterMs: 1050,
    });
    expect(look(pause, (ms) => ({ itemsDone: BigInt(1000 + Math.floor(ms / 900)) })).found).toBeUndefined();
    // The last item was under way.
    expect(look(pause, (ms) => ({ itemsDone: ms < 600 ? 7n : 8n }))).toEqual({
      found: { proof: "the counter stands at 8" },
      afterMs: 1800,
    });
  });

  test("is not proved by what was measured before it was applied, however often that is seen", () => {
    expect(look(pause, () => ({ itemsDone: 5n, asOfUs: BigInt(appliedAt - 1) })).found).toBeUndefined();
  });

  test("is proved by a worker that is heard and says nothing new", () => {
    const heard = (state: WorkerLinkState) => (ms: number) => ({
      itemsDone: 5n,
      asOfUs: BigInt(appliedAt + 20_000),
      link: { state, heardAtUs: BigInt(appliedAt + ms * 1000) },
    });
    expect(look(pause, heard(WorkerLinkState.CONNECTED)).found).toEqual({ proof: "the counter stands at 5" });
    expect(look(pause, heard(WorkerLinkState.SILENT)).found).toBeUndefined();
  });

  test("of a job without items is proved by its log, once that has come up to the pause", () => {
    const lines = (from: number) => (ms: number) => ({ lines: BigInt(ms < from ? 90 : 98), missingLines: 2n });
    expect(look(pause, lines(3_000))).toEqual({ found: { proof: "no line after line 100" }, afterMs: 4_050 });
    expect(look(pause, () => ({ lines: 50n })).found).toBeUndefined();
  });
});

describe("a resume", () => {
  const resume: Lever = { case: "run", value: { mode: RunMode.RUN } };

  test("is proved by a counter that moves", () => {
    expect(look(resume, () => ({ itemsDone: 7n })).found).toBeUndefined();
    expect(look(resume, (ms) => ({ itemsDone: BigInt(1200 + Math.floor(ms / 500)) }))).toEqual({
      found: { proof: "the counter moved to 1,201" },
      afterMs: 550,
    });
  });

  test("of a job without items is proved by the line after it", () => {
    expect(look(resume, (ms) => ({ lines: ms < 700 ? 100n : 140n })).found).toEqual({ proof: "line 101 came" });
    expect(look(resume, () => ({ lines: 100n })).found).toBeUndefined();
  });
});

describe("a speed", () => {
  const speed = (itemsPerSecond?: number): Lever => ({
    case: "speed",
    value: itemsPerSecond === undefined ? {} : { itemsPerSecond },
  });
  const at = (perSecond: number) => (ms: number) => ({ itemsDone: BigInt(Math.floor((ms / 1000) * perSecond)) });

  test("is proved by a rate within it, over a window after the change", () => {
    expect(look(speed(12.5), at(12.4))).toEqual({ found: { proof: "12.5\u00a0/s" }, afterMs: 2050 });
    expect(look(speed(1000), at(3)).found).toEqual({ proof: "3\u00a0/s" });
    expect(look(speed(10), at(13)).found).toBeUndefined();
  });

  test("is proved late where the job was faster for a while, and slow ones over a longer window", () => {
    const burst = look(speed(10), (ms) => ({ itemsDone: BigInt(Math.floor(ms < 1000 ? ms / 10 : 90 + ms / 100)) }));
    expect(burst.afterMs).toBe(4050);
    expect(look(speed(1), at(0.95)).afterMs).toBe(10_050);
  });

  test("is not proved by a job that stands, nor if there is no limit", () => {
    expect(look(speed(10), () => ({ itemsDone: 4n })).found).toBeUndefined();
    expect(look(speed(10), at(5), { state: JobState.PAUSED }).found).toBeUndefined();
    expect(look(speed(10), (ms) => ({ ...at(5)(ms), stalledBy: "the log" })).found).toBeUndefined();
    expect(look(speed(), at(5)).found).toBeUndefined();
  });
});

describe("a log level", () => {
  const counts = (debug: number, info: number) => ({
    lines: BigInt(debug + info),
    levelCounts: [0n, 0n, BigInt(debug), BigInt(info), 0n, 0n, 0n],
  });

  test("is proved when lines come, and none below it", () => {
    const info = logLevel(Level.INFO);
    // The 100 lines from before are on their way for a second.
    expect(look(info, (ms) => (ms < 1000 ? counts(30, 30) : counts(50, 50 + Math.floor(ms / 100)))).found).toEqual({
      proof: "no line below INFO since line 111",
    });
    expect(look(info, () => counts(50, 50)).found).toBeUndefined();
    expect(look(info, (ms) => counts(50 + Math.floor(ms / 400), 60)).found).toBe("never");
    expect(look(info, () => ({ lines: 500n })).found).toBeUndefined();
  });

  test("that lets more through is proved by what comes", () => {
    const asked = [logLevel(Level.DEBUG), { before: logLevel(Level.INFO) }] as const;
    expect(look(asked[0], (ms) => counts(ms < 900 ? 0 : 2, 100 + Math.floor(ms / 100)), asked[1]).found).toEqual({
      proof: "2 lines below INFO since line 101",
    });
    expect(look(asked[0], (ms) => counts(0, 100 + ms), asked[1]).found).toBeUndefined();
  });

  test("that changes nothing has no proof", () => {
    expect(look(logLevel(Level.TRACE), (ms) => counts(ms, ms)).found).toBe("never");
  });
});

test("a cancel, parameters and a priority are not measured", () => {
  const values: Lever[] = [
    { case: "run", value: { mode: RunMode.CANCEL } },
    { case: "parameters", value: { parameters: {} } },
    { case: "priority", value: { priority: 1 } },
  ];
  for (const value of values) expect(measureOf(create(ReceiptSchema, { value: { value } }))).toBeUndefined();
});
