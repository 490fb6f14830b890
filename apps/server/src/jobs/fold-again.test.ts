import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptEndSchema,
  AttemptReportSchema,
  CommandSchema,
  DeadlineSchema,
  EndOutcome,
  JobRecordSchema,
  JobState,
  JobTypeSchema,
  LeverOutcome,
  LeverReportSchema,
  LeverValueSchema,
  ReceiptState,
  RetryPolicySchema,
  RunMode,
  StartJobRequestSchema,
  type JobRecord,
  type LeverValue,
} from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expectSensible } from "../testing/job-history.ts";
import { foldCommand } from "./fold-command.ts";
import { foldDeadline, foldGiveUpLost, foldRetryDue } from "./fold-again.ts";
import { foldReport } from "./fold-report.ts";
import { foldAssign, foldBack, foldLost, foldRetry, newRecord } from "./job-fold.ts";
import { openAttempt } from "./job-record.ts";
import { settingOf, wantedRun } from "./levers.ts";
import { backOffAfter, jobPolicies } from "./policies.ts";

const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const server = create(ActorSchema, { kind: ActorKind.SERVER, name: "server" });
const worker = { workerId: "w", incarnation: "i".repeat(16), metadata: {}, clockOffsetUs: 0 };
/** A moment, microseconds. */
const at = (seconds: number) => 1_000_000_000 + seconds * 1_000_000;

const run = (mode: RunMode, graceMs = 0): LeverValue =>
  create(LeverValueSchema, { value: { case: "run", value: { mode, graceMs } } });
const parameters = (of: object): LeverValue =>
  create(LeverValueSchema, { value: { case: "parameters", value: { parameters: { ...of } } } });

interface Policies {
  readonly retry?: MessageInitShape<typeof RetryPolicySchema>;
  readonly deadline?: MessageInitShape<typeof DeadlineSchema>;
  readonly type?: MessageInitShape<typeof JobTypeSchema>;
}

function policies({ retry, deadline, type }: Policies) {
  const request = create(StartJobRequestSchema, {
    ...(retry ? { retry: create(RetryPolicySchema, retry) } : {}),
    ...(deadline ? { deadline: create(DeadlineSchema, deadline) } : {}),
  });
  return jobPolicies(request, create(JobTypeSchema, type ?? { name: "t" }));
}

function started(of: Policies = {}, levers: LeverValue[] = [run(RunMode.RUN), parameters({})]): JobRecord {
  const whole = { id: "j-1", name: "n", type: "t", labels: {}, workerId: "", startDigest: new Uint8Array() };
  return newRecord({ ...whole, levers, actor: operator, ...policies(of) }, 1);
}

/** The record after its worker has everything and says this of it. */
function report(record: JobRecord, now: number, { end, runs }: { end?: EndOutcome; runs?: RunMode } = {}): JobRecord {
  const generation = settingOf(record.spec, "run")?.generation ?? 0n;
  const message = create(AttemptReportSchema, {
    attempt: openAttempt(record)?.number ?? 0,
    started: true,
    receivedGeneration: record.spec?.generation ?? 0n,
    levers:
      runs === undefined
        ? []
        : [create(LeverReportSchema, { value: run(runs), outcome: LeverOutcome.APPLIED, generation, atLine: 7n })],
    ...(end === undefined
      ? {}
      : { end: create(AttemptEndSchema, { outcome: end, reason: "bad luck", endLine: 9n, atUs: 1n }) }),
  });
  return foldReport(record, message, now) ?? record;
}

const begun = (record: JobRecord, now: number) => report(foldAssign(record, worker, now), now, { runs: RunMode.RUN });
const set = (record: JobRecord, value: LeverValue, now: number) =>
  foldCommand(record, create(CommandSchema, { action: { case: "set", value } }), operator, "r", now).record;
const lost = (record: JobRecord, now: number) => foldLost(record, "silent", now) ?? record;

function due(record: JobRecord, now: number): JobRecord {
  const after = foldRetryDue(record, now);
  if (!after) throw new Error("no retry is due");
  return after;
}

function overdue(record: JobRecord, now: number): JobRecord {
  const after = foldDeadline(record, server, now);
  if (!after) throw new Error("the attempt is not overdue");
  return after.record;
}

describe("a job with a retry policy", () => {
  const retry = { mostAttempts: 3, backOffMs: 10_000n };

  test("queues again when an attempt fails, waits longer each time, and fails with the last attempt", () => {
    let record = report(begun(started({ retry }), at(0)), at(5), { end: EndOutcome.FAILED });
    expect(record).toMatchObject({
      state: JobState.QUEUED,
      reason: "attempt 1 failed: bad luck",
      retryAtUs: BigInt(at(15)),
      tries: 1,
    });
    expect(openAttempt(record)).toBeUndefined();
    expect(() => foldAssign(record, worker, at(60))).toThrow(/waits for its next attempt/);
    expect(foldRetryDue(record, at(15) - 1)).toBeUndefined();
    record = report(begun(due(record, at(15)), at(16)), at(20), { end: EndOutcome.FAILED });
    expect(record.retryAtUs).toBe(BigInt(at(40)));
    record = report(begun(due(record, at(40)), at(41)), at(45), { end: EndOutcome.FAILED });
    expect(record).toMatchObject({ state: JobState.FAILED, reason: "bad luck", retryAtUs: 0n, tries: 3 });
  });

  test("does not count attempts that were declined or released", () => {
    let record = started({ retry });
    for (const end of [EndOutcome.DECLINED, EndOutcome.RELEASED]) record = report(begun(record, at(0)), at(1), { end });
    expect(record).toMatchObject({ state: JobState.QUEUED, retryAtUs: 0n, tries: 0 });
    expect(record.attempts).toHaveLength(2);
  });

  test("is not tried again after somebody asked for its end", () => {
    const asked = set(begun(started({ retry }), at(0)), run(RunMode.CANCEL), at(1));
    expect(report(asked, at(2), { end: EndOutcome.FAILED }).state).toBe(JobState.FAILED);
    const waiting = report(begun(started({ retry }), at(0)), at(1), { end: EndOutcome.FAILED });
    expect(set(waiting, run(RunMode.CANCEL), at(2))).toMatchObject({ state: JobState.CANCELED, retryAtUs: 0n });
  });

  test("is held by a pause while it waits for its next attempt", () => {
    const waiting = report(begun(started({ retry }), at(0)), at(1), { end: EndOutcome.FAILED });
    const held = due(set(waiting, run(RunMode.PAUSE), at(2)), at(20));
    expect(() => foldAssign(held, worker, at(21))).toThrow(/waits can be assigned/);
    expect(openAttempt(begun(set(held, run(RunMode.RUN), at(22)), at(23)))?.number).toBe(2);
  });

  test("keeps commands for the next attempt that the failed one had not put into effect", () => {
    const speed = create(LeverValueSchema, { value: { case: "speed", value: { itemsPerSecond: 5 } } });
    const record = report(set(begun(started({ retry }), at(0)), speed, at(1)), at(2), { end: EndOutcome.FAILED });
    expect(record.receipts.at(-1)).toMatchObject({ state: ReceiptState.ACCEPTED, value: speed });
  });

  test("begins anew when a person retries it, also while it waits for its back-off", () => {
    const waiting = report(begun(started({ retry }), at(0)), at(1), { end: EndOutcome.FAILED });
    expect(foldRetry(waiting, undefined, at(2))).toMatchObject({ retryAtUs: 0n, tries: 0, queuedAtUs: BigInt(at(2)) });
    expect(() => foldRetry(foldRetry(waiting, undefined, 2), undefined, 3)).toThrow(/is waiting/);
  });

  test("waits for a person when it is lost, unless the policy gives it up: then that takes 45 s", () => {
    const plain = lost(begun(started({ retry }), at(0)), at(1));
    expect(foldGiveUpLost(plain, at(100))).toBeUndefined();
    const record = lost(begun(started({ retry: { ...retry, whenLost: true } }), at(0)), at(1));
    expect(foldGiveUpLost(record, at(46) - 1)).toBeUndefined();
    const again = foldGiveUpLost(record, at(46));
    expect(again).toMatchObject({ state: JobState.QUEUED, retryAtUs: BigInt(at(56)), tries: 1 });
    expect(again?.attempts[0]?.end?.outcome).toBe(EndOutcome.GIVEN_UP);
  });

  test("is canceled when its lost attempt is given up and somebody asked for its end", () => {
    const record = lost(begun(started({ retry: { ...retry, whenLost: true } }), at(0)), at(1));
    expect(foldGiveUpLost(set(record, run(RunMode.CANCEL), at(2)), at(46))?.state).toBe(JobState.CANCELED);
  });

  test("is left to a person when its last attempt is lost", () => {
    const last = { mostAttempts: 2, backOffMs: 0n, whenLost: true };
    const failed = report(begun(started({ retry: last }), at(0)), at(1), { end: EndOutcome.FAILED });
    expect(failed.retryAtUs).toBe(0n);
    expect(foldGiveUpLost(lost(begun(failed, at(2)), at(3)), at(100))).toBeUndefined();
  });
});

describe("an attempt with a deadline", () => {
  const deadline = { afterMs: 10_000n };

  test("is canceled by the server when its time is over, and the job fails with that", () => {
    const record = begun(started({ deadline }), at(0));
    expect(foldDeadline(record, server, at(10) - 1)).toBeUndefined();
    const asked = overdue(record, at(10));
    expect(settingOf(asked.spec, "run")?.value?.value).toMatchObject({
      value: { mode: RunMode.CANCEL, graceMs: 10_000, reason: "ran longer than 10 s" },
    });
    expect(asked).toMatchObject({ state: JobState.RUNNING });
    expect(asked.receipts.at(-1)).toMatchObject({ state: ReceiptState.ACCEPTED, actor: server });
    expect(foldDeadline(asked, server, at(30))).toBeUndefined();
    const ended = report(asked, at(12), { end: EndOutcome.CANCELED });
    expect(ended).toMatchObject({ state: JobState.FAILED, reason: "ran longer than 10 s" });
    expect(ended.receipts.at(-1)).toMatchObject({ state: ReceiptState.APPLIED, atLine: 9n, actor: server });
    expect(ended.attempts[0]?.end?.outcome).toBe(EndOutcome.CANCELED);
  });

  test("is tried again with a clock of its own, and the run lever is as it was before the deadline", () => {
    const record = overdue(begun(started({ deadline, retry: { mostAttempts: 2 } }), at(0)), at(10));
    const again = report(record, at(12), { runs: RunMode.CANCEL, end: EndOutcome.CANCELED });
    expect(again).toMatchObject({ state: JobState.QUEUED, reason: "attempt 1 ran longer than 10 s", tries: 1 });
    expect(wantedRun(again.spec)).toBe(RunMode.RUN);
    const next = begun(again, at(20));
    expect(foldDeadline(next, server, at(29))).toBeUndefined();
    expect(report(overdue(next, at(30)), at(31), { end: EndOutcome.CANCELED }).state).toBe(JobState.FAILED);
  });

  test("has a clock that stands while the worker says that the job is paused, and while it is lost", () => {
    let record = begun(started({ deadline }), at(0));
    record = report(set(record, run(RunMode.PAUSE), at(3)), at(4), { runs: RunMode.PAUSE });
    expect(openAttempt(record)).toMatchObject({ deadlineUsedMs: 4000n, deadlineSinceUs: 0n });
    record = report(set(record, run(RunMode.RUN), at(100)), at(100), { runs: RunMode.RUN });
    record = lost(record, at(103));
    expect(openAttempt(record)).toMatchObject({ deadlineUsedMs: 7000n, deadlineSinceUs: 0n });
    record = foldBack(record, at(200)) ?? record;
    expect(foldDeadline(record, server, at(203) - 1)).toBeUndefined();
    expect(foldDeadline(record, server, at(203))).toBeDefined();
  });

  test("may have a clock that runs on while it is paused; a new attempt is held as the old one was", () => {
    const on = { deadline: { ...deadline, runsWhilePaused: true }, retry: { mostAttempts: 2 } };
    let record = begun(started(on), at(0));
    record = report(set(record, run(RunMode.PAUSE), at(1)), at(1), { runs: RunMode.PAUSE });
    record = report(overdue(record, at(10)), at(11), { end: EndOutcome.CANCELED });
    expect([record.state, wantedRun(record.spec)]).toEqual([JobState.QUEUED, RunMode.PAUSE]);
  });

  test("that succeeds before the server's cancel takes effect has succeeded", () => {
    const record = overdue(begun(started({ deadline }), at(0)), at(10));
    expect(report(record, at(11), { end: EndOutcome.SUCCEEDED }).state).toBe(JobState.SUCCEEDED);
  });

  test("ends as canceled when a person asks for that before or after the deadline", () => {
    const before = set(begun(started({ deadline, retry: { mostAttempts: 2 } }), at(0)), run(RunMode.CANCEL), at(1));
    expect(foldDeadline(before, server, at(20))).toBeUndefined();
    expect(report(before, at(20), { end: EndOutcome.CANCELED }).state).toBe(JobState.CANCELED);
    const record = overdue(begun(started({ deadline, retry: { mostAttempts: 2 } }), at(0)), at(10));
    const after = set(record, run(RunMode.CANCEL), at(11));
    expect(report(after, at(12), { end: EndOutcome.CANCELED }).state).toBe(JobState.CANCELED);
  });

  test("is canceled by a person whatever grace that gives: it ends when the server's cancel would have ended it", () => {
    const asked = overdue(begun(started({ deadline, retry: { mostAttempts: 2 } }), at(0)), at(10));
    const canceled = set(report(asked, at(11), {}), run(RunMode.CANCEL, 60_000), at(14));
    expect(settingOf(canceled.spec, "run")?.value).toEqual(run(RunMode.CANCEL, 7_000));
    expect(report(canceled, at(15), { end: EndOutcome.CANCELED }).state).toBe(JobState.CANCELED);
  });

  test("goes on when a person takes the server's cancel back", () => {
    const record = overdue(begun(started({ deadline }), at(0)), at(10));
    const generation = record.spec?.generation ?? 0n;
    const withdraw = create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } });
    const back = foldCommand(record, withdraw, operator, "r", at(11)).record;
    expect(wantedRun(back.spec)).toBe(RunMode.RUN);
    expect(foldDeadline(back, server, at(1000))).toBeUndefined();
    expect(report(set(back, run(RunMode.CANCEL), at(1001)), at(1002), { end: EndOutcome.CANCELED }).state).toBe(
      JobState.CANCELED,
    );
  });
});

test("an attempt says whether it began with other parameters than the one before", () => {
  const failed = (record: JobRecord, now: number) => report(begun(record, now), now + 1, { end: EndOutcome.FAILED });
  const first = failed(started(), 1);
  const same = failed(foldRetry(first, parameters({}), 10), 11);
  const other = failed(foldRetry(same, parameters({ limit: 5 }), 20), 21);
  const again = failed(foldRetry(other, undefined, 30), 31);
  expect(again.attempts.map(({ parametersChanged }) => parametersChanged)).toEqual([false, false, true, false]);
});

test("a worker gets a job with a selector only if it has all of the labels", () => {
  const record = { ...started(), workerSelector: { gpu: "a100", zone: "b" } };
  expect(() => foldAssign(record, { ...worker, labels: { gpu: "a100" } }, 2)).toThrow(/does not have the label zone=b/);
  expect(() => foldAssign(record, { ...worker, labels: { gpu: "t4", zone: "b" } }, 2)).toThrow(/gpu=a100/);
  expect(foldAssign(record, { ...worker, labels: { gpu: "a100", zone: "b", os: "x" } }, 2).attempts).toHaveLength(1);
});

describe("policies", () => {
  test("are the job's own, else those of its type, with what holds where nothing is said", () => {
    const type = { name: "t", retry: { mostAttempts: 4 }, deadline: { afterMs: 5n, graceMs: 1 } };
    expect(policies({ type }).retry).toMatchObject({ mostAttempts: 4, factor: 2, longestBackOffMs: 3_600_000n });
    expect(policies({ type }).deadline).toMatchObject({ afterMs: 5n, graceMs: 1 });
    expect(policies({ type, retry: { mostAttempts: 1 } }).retry).toBeUndefined();
    expect(policies({ type, deadline: { afterMs: 9n } }).deadline).toMatchObject({ afterMs: 9n, graceMs: 10_000 });
    expect(policies({})).toEqual({ retry: undefined, deadline: undefined });
  });

  test.each([
    [{ retry: { mostAttempts: 101 } }, "The retry policy has most_attempts 101, at most 100 are allowed."],
    [{ retry: { factor: 0.5 } }, "The retry policy has factor 0.5, which is not 1 to 10."],
    [{ retry: { factor: NaN } }, "The retry policy has factor NaN, which is not 1 to 10."],
    [{ retry: { backOffMs: 86_400_001n } }, /back_off_ms 86400001, at most a day/],
    [{ retry: { backOffMs: 5n, longestBackOffMs: 4n } }, /longest_back_off_ms 4, which is less than its back_off_ms 5/],
    [{ deadline: { afterMs: 0n } }, /The deadline has after_ms 0, which is not 1 to/],
    [{ deadline: { afterMs: 1n, graceMs: 4_000_000_000 } }, /The deadline has grace_ms 4000000000, at most a day/],
  ] as const)("out of bounds are refused: %o", (of, message) => {
    expect(() => policies(of)).toThrow(message);
  });

  test("wait exponentially longer, never longer than the longest wait", () => {
    const retry = policies({
      retry: { mostAttempts: 100, backOffMs: 1000n, factor: 3, longestBackOffMs: 20_000n },
    }).retry;
    const waits = [1, 2, 3, 4, 99].map((tries) => retry && backOffAfter(retry, tries));
    expect(waits).toEqual([1000, 3000, 9000, 20_000, 20_000]);
  });
});

const step = fc.record({
  kind: fc.constantFrom(
    ...(["assign", "assign", "pause", "run", "cancel", "paused", "running", "failed", "failed", "canceled"] as const),
    ...(["released", "succeeded", "lost", "back", "retryDue", "retryDue", "deadline", "deadline", "giveUp"] as const),
  ),
  afterMs: fc.integer({ min: 0, max: 30_000 }),
});

test(
  "whatever happens, no attempt runs beyond its tries or its time without the server asking for its end",
  { timeout: 60_000 },
  () => {
    let retried = 0;
    let timedOut = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, whenLost) => {
        const retry = { mostAttempts: 3, backOffMs: 5000n, whenLost };
        let record = started({ retry, deadline: { afterMs: 20_000n } });
        let now = 1;
        for (const { kind, afterMs } of steps) {
          now += afterMs * 1000;
          const before = record;
          const isFree = !openAttempt(record) && record.state === JobState.QUEUED;
          const open = openAttempt(record) !== undefined;
          if (kind === "assign" && isFree && record.retryAtUs === 0n && wantedRun(record.spec) === RunMode.RUN)
            record = begun(record, now);
          else if (kind === "retryDue") record = foldRetryDue(record, now) ?? record;
          else if (kind === "deadline") record = foldDeadline(record, server, now)?.record ?? record;
          else if (kind === "giveUp") record = foldGiveUpLost(record, now) ?? record;
          else if (kind === "lost") record = lost(record, now);
          else if (kind === "back") record = foldBack(record, now) ?? record;
          else if (["pause", "run", "cancel"].includes(kind) && record.endedAtUs === 0n)
            record = set(
              record,
              run({ pause: RunMode.PAUSE, run: RunMode.RUN }[kind as string] ?? RunMode.CANCEL),
              now,
            );
          else if (open && kind === "paused") record = report(record, now, { runs: RunMode.PAUSE });
          else if (open && kind === "running") record = report(record, now, { runs: RunMode.RUN });
          else if (open && kind === "failed") record = report(record, now, { end: EndOutcome.FAILED });
          else if (open && kind === "canceled") record = report(record, now, { end: EndOutcome.CANCELED });
          else if (open && kind === "released") record = report(record, now, { end: EndOutcome.RELEASED });
          else if (open && kind === "succeeded") record = report(record, now, { end: EndOutcome.SUCCEEDED });
          if (equals(JobRecordSchema, record, before)) continue;
          expectSensible(before, record, { isRetry: false });
          expect(record.tries).toBeLessThanOrEqual(3);
          expect(record.tries).toBeGreaterThanOrEqual(before.tries);
          if (record.retryAtUs > before.retryAtUs) retried++;
          if (kind === "deadline") timedOut++;
        }
      }),
      { numRuns: 1000 },
    );
    // Chance decides how many; hardly any would mean that nothing was tried.
    expect(retried).toBeGreaterThan(10);
    expect(timedOut).toBeGreaterThan(5);
  },
);
