import { clone, create, equals, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptEndSchema,
  AttemptReportSchema,
  CommandSchema,
  EndOutcome,
  HoldSchema,
  JobEntrySchema,
  JobRecordSchema,
  JobState,
  LeverOutcome,
  LeverReportSchema,
  LeverValueSchema,
  ReceiptState,
  RunMode,
  type Hold,
  type JobRecord,
  type LeverValue,
} from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Refused } from "../refused.ts";
import { expectSensible } from "../testing/job-history.ts";
import { foldCommand, foldDeliverBy, foldHoldEnded } from "./fold-command.ts";
import { foldLate } from "./fold-late.ts";
import { foldReport } from "./fold-report.ts";
import {
  foldAssign,
  foldBack,
  foldGiveUp,
  foldLost,
  foldReplaced,
  foldRetry,
  foldWorkerGone,
  newRecord,
  replacedReason,
} from "./job-fold.ts";
import { openAttempt } from "./job-record.ts";
import { leverOf, settingOf, wantedRun } from "./levers.ts";

const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const worker = { workerId: "w", incarnation: "i".repeat(16), metadata: {}, clockOffsetUs: 0 };

const run = (mode: RunMode, graceMs = 0): LeverValue =>
  create(LeverValueSchema, { value: { case: "run", value: { mode, graceMs } } });
const priority = (value: number): LeverValue =>
  create(LeverValueSchema, { value: { case: "priority", value: { priority: value } } });
const forMs = (durationMs: bigint, then?: LeverValue): Hold =>
  create(HoldSchema, then ? { durationMs, then } : { durationMs });
const speed = (itemsPerSecond?: number): LeverValue =>
  create(LeverValueSchema, { value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } } });

function started(levers: LeverValue[] = [run(RunMode.RUN)], workerId = ""): JobRecord {
  const startDigest = new Uint8Array();
  return newRecord({ id: "j-1", name: "n", type: "t", labels: {}, levers, workerId, actor: operator, startDigest }, 1);
}

function send(
  record: JobRecord,
  value: LeverValue,
  now = 10,
  more: { ifGeneration?: bigint; deliverWithinMs?: bigint; hold?: Hold } = {},
) {
  return foldCommand(record, create(CommandSchema, { action: { case: "set", value }, ...more }), operator, "r", now);
}

function report(
  record: JobRecord,
  fields: Partial<{ levers: [LeverValue, LeverOutcome, bigint][]; end: EndOutcome; received: bigint }>,
  now = 20,
): JobRecord {
  const attempt = openAttempt(record);
  const message = create(AttemptReportSchema, {
    jobId: record.id,
    attempt: attempt?.number ?? 0,
    started: true,
    receivedGeneration: fields.received ?? record.spec?.generation ?? 0n,
    levers: (fields.levers ?? []).map(([value, outcome, generation]) =>
      create(LeverReportSchema, { value, outcome, generation, reason: "no", atLine: 7n }),
    ),
    ...(fields.end === undefined
      ? {}
      : { end: create(AttemptEndSchema, { outcome: fields.end, endLine: 9n, atUs: 1n }) }),
  });
  return foldReport(record, message, now) ?? record;
}

const applied = (record: JobRecord, lever: "run" | "speed"): [LeverValue, LeverOutcome, bigint] => {
  const setting = settingOf(record.spec, lever);
  if (!setting?.value) throw new Error(`no ${lever}`);
  return [setting.value, LeverOutcome.APPLIED, setting.generation];
};

const running = () => {
  const record = foldAssign(started(), worker, 5);
  return report(record, { levers: [applied(record, "run")] });
};

describe("times", () => {
  const s = 1_000_000;
  const told = (record: JobRecord, now: number, more: MessageInitShape<typeof AttemptReportSchema>) =>
    foldReport(
      record,
      create(AttemptReportSchema, { jobId: record.id, attempt: 1, started: true, ...more }),
      now,
      // The worker's clock is an hour behind.
      (workerUs) => Math.min(workerUs + 3600 * s, now),
    ) ?? record;
  const end = (atS: number) => ({ outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: BigInt(atS * s) });

  test("are the worker's, on the clock of the server, also of a word that comes late", () => {
    const record = foldAssign({ ...started(), workerId: worker.workerId }, worker, 3700 * s);
    const ended = told(record, 3701 * s, { beganAtUs: BigInt(10 * s), end: end(99) });
    expect([ended.startedAtUs, ended.endedAtUs]).toEqual([BigInt(3610 * s), BigInt(3699 * s)]);
    expect(ended.attempts[0]).toMatchObject({ startedAtUs: BigInt(3610 * s), endedAtUs: BigInt(3699 * s) });
  });

  test("tell how long a short program ran, however long it took until that was heard", () => {
    const record = foldAssign(started(), worker, 3700 * s);
    const ran = told(record, 3701.8 * s, { beganAtUs: BigInt(101.5 * s) });
    const ended = told(ran, 3702 * s, { beganAtUs: BigInt(101.5 * s), end: end(101.9) });
    expect([ended.startedAtUs, ended.endedAtUs]).toEqual([BigInt(3701.5 * s), BigInt(3701.9 * s)]);
  });

  test("never run backwards, whatever a worker says: nothing begins before it was assigned, or ends before it began", () => {
    const record = foldAssign(started(), worker, 3700 * s);
    const ended = told(record, 3800 * s, { beganAtUs: 1n, end: end(2) });
    expect([ended.startedAtUs, ended.endedAtUs]).toEqual([BigInt(3700 * s), BigInt(3700 * s)]);
  });

  test("are when it was heard if the worker's clock is not known", () => {
    const record = foldAssign(started(), worker, 5);
    const said = create(AttemptReportSchema, { attempt: 1, started: true, beganAtUs: 1n, end: end(0.000002) });
    expect(foldReport(record, said, 90 * s)).toMatchObject({ startedAtUs: BigInt(90 * s), endedAtUs: BigInt(90 * s) });
  });
});

describe("a job", () => {
  test("runs only after its worker says so", () => {
    const assigned = foldAssign(started(), worker, 5);
    expect(assigned.state).toBe(JobState.QUEUED);
    expect(report(assigned, {}).state).toBe(JobState.RUNNING);
  });

  test("stays running while a pause is asked, and is paused by the worker's report of that generation", () => {
    const asked = send(running(), run(RunMode.PAUSE)).record;
    expect([asked.state, wantedRun(asked.spec)]).toEqual([JobState.RUNNING, RunMode.PAUSE]);
    const delivered = report(asked, {});
    expect([delivered.state, delivered.receipts.at(-1)?.state]).toEqual([JobState.RUNNING, ReceiptState.DELIVERED]);
    const paused = report(delivered, { levers: [applied(asked, "run")] });
    expect([paused.state, paused.receipts.at(-1)?.state, paused.receipts.at(-1)?.atLine]).toEqual([
      JobState.PAUSED,
      ReceiptState.APPLIED,
      7n,
    ]);
  });

  test("shows older open commands on a lever as superseded by a newer report", () => {
    const first = send(running(), speed(5)).record;
    const second = send(first, speed(6)).record;
    const done = report(second, { levers: [applied(second, "speed")] });
    expect(done.receipts.filter((each) => leverOf(each.value) === "speed").map((each) => each.state)).toEqual([
      ReceiptState.SUPERSEDED,
      ReceiptState.APPLIED,
    ]);
    const half = report(second, { received: 0n, levers: [] });
    expect(half.receipts.map((each) => each.state)).toContain(ReceiptState.ACCEPTED);
  });

  test("puts a rejected lever back to what is in effect, under a new generation and without a receipt", () => {
    const at5 = send(running(), speed(5)).record;
    const set = report(at5, { levers: [applied(at5, "speed")] });
    const asked = send(set, speed(50)).record;
    const generation = asked.spec?.generation ?? 0n;
    const after = report(asked, { levers: [[speed(50), LeverOutcome.REJECTED, generation]] });
    expect(settingOf(after.spec, "speed")).toMatchObject({ generation: generation + 1n, value: speed(5) });
    const receipts = after.receipts.filter((each) => leverOf(each.value) === "speed");
    expect(receipts.map((each) => [each.state, each.reason])).toEqual([
      [ReceiptState.APPLIED, ""],
      [ReceiptState.REJECTED, "no"],
    ]);
    expect(after.state).toBe(JobState.RUNNING);
  });

  test("fails when its worker rejects a lever that has nothing in effect to go back to", () => {
    const assigned = foldAssign(started([run(RunMode.RUN), speed(5)]), worker, 5);
    const generation = settingOf(assigned.spec, "speed")?.generation ?? 0n;
    const after = report(assigned, { levers: [[speed(5), LeverOutcome.REJECTED, generation]] });
    expect([after.state, after.reason]).toEqual([JobState.FAILED, "the worker cannot start with this speed: no"]);
    expect(openAttempt(after)).toBeUndefined();
  });

  test("that waits is canceled at once, and one that is paused while it waits is held", () => {
    expect(send(started(), run(RunMode.CANCEL)).record.state).toBe(JobState.CANCELED);
    const held = send(started(), run(RunMode.PAUSE)).record;
    expect([held.state, held.receipts.at(-1)?.state]).toEqual([JobState.QUEUED, ReceiptState.APPLIED]);
    expect(() => foldAssign(held, worker, 6)).toThrow(Refused);
    expect(foldAssign(send(held, run(RunMode.RUN)).record, worker, 7).attempts).toHaveLength(1);
  });

  test("that succeeds before its cancel took effect has succeeded, and the cancel says so", () => {
    const asked = send(running(), run(RunMode.CANCEL)).record;
    const done = report(asked, { end: EndOutcome.SUCCEEDED });
    expect([done.state, done.receipts.at(-1)?.state, done.receipts.at(-1)?.reason]).toEqual([
      JobState.SUCCEEDED,
      ReceiptState.REJECTED,
      "the job succeeded first",
    ]);
  });

  test("that was released queues again, keeps its levers and its checkpoint, and gets a new attempt", () => {
    const asked = send(running(), speed(5)).record;
    const released = report(asked, { end: EndOutcome.RELEASED });
    expect([released.state, released.receipts.at(-1)?.state]).toEqual([JobState.QUEUED, ReceiptState.ACCEPTED]);
    const again = foldAssign(released, worker, 30);
    expect(openAttempt(again)?.number).toBe(2);
    expect(settingOf(again.spec, "speed")?.value).toEqual(speed(5));
  });

  test("keeps its checkpoint with the newest attempt alone", () => {
    let record = running();
    for (let i = 0; i < 5; i++) {
      const attempt = openAttempt(record)?.number ?? 0;
      const message = create(AttemptReportSchema, {
        attempt,
        checkpoint: new Uint8Array(60_000).fill(i),
        end: create(AttemptEndSchema, { outcome: EndOutcome.RELEASED }),
      });
      record = foldAssign(foldReport(record, message, 20) ?? record, worker, 30);
    }
    expect(record.attempts.map(({ checkpoint }) => checkpoint.length)).toEqual([0, 0, 0, 0, 0, 60_000]);
    expect(openAttempt(record)?.checkpoint[0]).toBe(4);
  });

  test("that was to be canceled and is released instead is canceled", () => {
    expect(report(send(running(), run(RunMode.CANCEL)).record, { end: EndOutcome.RELEASED }).state).toBe(
      JobState.CANCELED,
    );
  });

  test("that is lost comes back with the state that its worker last reported", () => {
    const asked = send(running(), run(RunMode.PAUSE)).record;
    const paused = report(asked, { levers: [applied(asked, "run")] });
    const lost = foldLost(paused, "silent", 30);
    expect(lost).toMatchObject({ state: JobState.LOST, reason: "silent" });
    expect(foldLost(lost ?? paused, "again", 31)).toBeUndefined();
    expect(foldBack(lost ?? paused, 32)).toMatchObject({ state: JobState.PAUSED, reason: "" });
  });

  test("that is lost stays so when another process takes its worker's name, and says that instead of the silence", () => {
    const lost = foldLost(running(), "silent", 30) ?? running();
    const replaced = foldReplaced(lost, 60);
    const reason = "worker w came back as another process, which does not have this job";
    expect(replaced).toEqual({ ...lost, reason });
    expect(foldReplaced(replaced ?? lost, 90)).toBeUndefined();
    expect(foldReplaced(foldLost(running(), replacedReason, 30) ?? lost, 90)).toBeUndefined();
    expect(foldReplaced(running(), 60)).toBeUndefined();
    expect(foldReplaced(foldBack(replaced ?? lost, 70) ?? lost, 90)).toBeUndefined();
  });

  test("that is lost can be given up or retried only after 45 s", () => {
    const lost = foldLost(running(), "silent", 30) ?? running();
    expect(() => foldGiveUp(lost, "gone", 30 + 44_000_000)).toThrow(/can be given up in 1 s/);
    expect(() => foldRetry(lost, undefined, 30 + 44_000_000)).toThrow(Refused);
    expect(foldGiveUp(lost, "gone", 30 + 45_000_000)).toMatchObject({
      state: JobState.FAILED,
      reason: "given up; the process may still run",
    });
    expect(foldRetry(lost, undefined, 30 + 45_000_000)).toMatchObject({ state: JobState.QUEUED });
  });

  test("keeps what comes of an attempt after it was given up apart, the first of each kind, and nothing of it changes the state", () => {
    const lost = foldLost(running(), "silent", 30) ?? running();
    const retried = foldRetry(lost, undefined, 45_000_030);
    const end = create(AttemptEndSchema, { outcome: EndOutcome.SUCCEEDED, endLine: 12n, atUs: 40n, reason: "done" });
    const lines = foldLate(retried, 1, { firstLine: 8 }, 50_000_000);
    expect(lines?.late).toMatchObject({ attempt: 1, firstLine: 8n, atUs: 50_000_000n });
    const both = lines && foldLate(lines.record, 1, { end }, 51_000_000);
    expect(both?.late).toMatchObject({ attempt: 1, firstLine: 0n, end, atUs: 51_000_000n });
    expect(both?.record.late).toEqual([expect.objectContaining({ attempt: 1, firstLine: 8n, end, atUs: 50_000_000n })]);
    expect(both && equals(JobRecordSchema, { ...both.record, late: [] }, retried)).toBe(true);
    expect(both && foldLate(both.record, 1, { firstLine: 9 }, 52_000_000)).toBeUndefined();
    expect(both && foldLate(both.record, 1, { end }, 52_000_000)).toBeUndefined();
    expect(foldLate(retried, 2, { firstLine: 1 }, 50_000_000)).toBeUndefined();
  });

  test("takes nothing late of an attempt that runs, is lost, or ended by its worker's word", () => {
    const end = create(AttemptEndSchema, { outcome: EndOutcome.FAILED, endLine: 1n });
    const lost = foldLost(running(), "silent", 30) ?? running();
    for (const record of [running(), lost, report(running(), { end: EndOutcome.RELEASED })]) {
      expect(foldLate(record, 1, { firstLine: 1 }, 40)).toBeUndefined();
      expect(foldLate(record, 1, { end }, 40)).toBeUndefined();
    }
  });

  test("forgets late evidence with its attempt", () => {
    let record = started();
    for (let now = 0; record.attempts[0]?.number !== 5; now += 50_000_000) {
      const lost = foldLost(foldAssign(record, worker, now), "silent", now + 1) ?? record;
      record = foldRetry(lost, undefined, now + 49_000_000);
      record =
        foldLate(record, record.attempts.at(-1)?.number ?? 0, { firstLine: 1 }, now + 49_000_001)?.record ?? record;
    }
    expect(record.late.map(({ attempt }) => attempt)).toEqual(record.attempts.map(({ number }) => number));
    expect(record.late).toHaveLength(20);
  });

  test("that names its worker goes to that one alone, and fails when nobody will ever be that", () => {
    const pinned = started([run(RunMode.RUN)], "w");
    expect(() => foldAssign(pinned, { ...worker, workerId: "other" }, 5)).toThrow(/Only worker w may run this job/);
    const assigned = foldAssign(pinned, worker, 5);
    expect(foldWorkerGone(assigned, 6)).toBeUndefined();
    const released = report(report(assigned, {}), { end: EndOutcome.RELEASED });
    expect(foldWorkerGone(released, 30)).toMatchObject({
      state: JobState.FAILED,
      reason: "only worker w may run it, which is gone: start it there again",
      endedAtUs: 30n,
    });
    expect(foldWorkerGone(started(), 6)).toBeUndefined();
    const lost = foldLost(report(assigned, {}), "silent", 30);
    expect(lost && foldWorkerGone(lost, 31)).toBeUndefined();
  });

  test("holds a value for what remains when a later command expires, and what was to follow when nothing remains", () => {
    const asked = send(running(), speed(5), 10, { hold: forMs(60_000n, speed(1)) }).record;
    const held = report(asked, { levers: [applied(asked, "speed")] }, 20);
    const endsAtUs = settingOf(held.spec, "speed")?.hold?.endsAtUs ?? 0n;
    expect(endsAtUs).toBe(60_000_020n);
    const later = send(held, speed(9), 30, { deliverWithinMs: 1000n }).record;
    const generation = later.spec?.generation ?? 0n;
    const expired = foldDeliverBy(later, generation, 2_000_000);
    expect(settingOf(expired?.spec, "speed")).toMatchObject({ value: speed(5), hold: { endsAtUs, then: speed(1) } });
    const late = foldDeliverBy(later, generation, 61_000_000);
    expect(settingOf(late?.spec, "speed")).toMatchObject({ value: speed(1) });
    expect(settingOf(late?.spec, "speed")?.hold).toBeUndefined();
  });

  test("that holds a value for a time goes back to what was before, through any number of held values", () => {
    const first = send(send(running(), speed(3)).record, speed(5), 10, { hold: forMs(1000n) }).record;
    expect(settingOf(first.spec, "speed")?.hold?.then).toEqual(speed(3));
    const second = send(first, speed(6), 11, { hold: forMs(1000n) }).record;
    expect(settingOf(second.spec, "speed")?.hold?.then).toEqual(speed(3));
    const never = send(running(), speed(5), 10, { hold: forMs(1000n) }).record;
    expect(settingOf(never.spec, "speed")?.hold?.then).toEqual(speed());
  });

  test("that is lost with a cancel pending is canceled when it is given up", () => {
    const lost = foldLost(send(running(), run(RunMode.CANCEL)).record, "silent", 30);
    expect(lost?.state).toBe(JobState.LOST);
    expect(lost && foldGiveUp(lost, "", 46_000_000).state).toBe(JobState.CANCELED);
    expect(lost && foldRetry(lost, undefined, 46_000_000).state).toBe(JobState.CANCELED);
  });

  test("that was canceled runs again after a retry", () => {
    const canceled = send(started(), run(RunMode.CANCEL)).record;
    const again = foldRetry(canceled, undefined, 50);
    expect([again.state, wantedRun(again.spec), again.endedAtUs]).toEqual([JobState.QUEUED, RunMode.RUN, 0n]);
    expect(() => foldRetry(again, undefined, 51)).toThrow(/is waiting/);
  });

  test("that has ended refuses levers, and says that it has ended", () => {
    const done = report(running(), { end: EndOutcome.SUCCEEDED });
    expect(() => send(done, run(RunMode.PAUSE))).toThrow(/it is succeeded/);
  });

  test("refuses a command that was sent on another generation than the one it has, and says who moved what", () => {
    const record = running();
    const moved = send(record, speed(3)).record;
    expect(() => send(moved, run(RunMode.PAUSE), 11, { ifGeneration: record.spec?.generation ?? 0n })).toThrow(
      /operator moved the speed lever/,
    );
    expect(send(moved, run(RunMode.PAUSE), 11, { ifGeneration: moved.spec?.generation ?? 0n }).generation).toBe(3n);
  });

  test("lets a command expire that was not delivered in time, and puts its lever back", () => {
    const lost = foldLost(running(), "silent", 30) ?? running();
    const asked = send(lost, run(RunMode.PAUSE), 40, { deliverWithinMs: 1n }).record;
    expect(foldDeliverBy(asked, 2n, 1_039)).toBeUndefined();
    const expired = foldDeliverBy(asked, 2n, 1_040);
    expect(expired?.receipts.at(-1)?.state).toBe(ReceiptState.EXPIRED);
    expect(wantedRun(expired?.spec)).toBe(RunMode.RUN);
    expect(expired?.spec?.generation).toBe(3n);
  });

  test("that is canceled can be given less time by another cancel, and not more: that is refused and says what stands", () => {
    const s = 1_000_000;
    const grace = (record: JobRecord) => settingOf(record.spec, "run")?.value?.value.value;
    const cancel = (record: JobRecord, ms: number, now: number) => send(record, run(RunMode.CANCEL, ms), now).record;
    const asked = cancel(running(), 6_000, s);
    expect(() => cancel(asked, 30_000, 2 * s)).toThrow(
      "The job is being canceled already by operator, with a grace of 6.0 s. Another cancel can only shorten that, not give 30 s.",
    );
    const received = report(asked, {}, 2 * s);
    expect(() => cancel(received, 30_000, 3 * s)).toThrow(/of 6.0 s, of which 5.0 s are left/);
    expect(grace(cancel(received, 2_000, 3 * s))).toMatchObject({ graceMs: 2_000 });
    // Asked for again, or too late to be sooner: it ends when it was to end.
    const again = cancel(received, 6_000, 3 * s);
    expect(grace(again)).toMatchObject({ mode: RunMode.CANCEL, graceMs: 5_000 });
    expect(again.receipts.at(-1)?.value?.value.value).toMatchObject({ graceMs: 5_000 });
    expect(grace(cancel(report(again, {}, 4 * s), 4_500, 5 * s))).toMatchObject({ graceMs: 3_000 });
    expect(grace(cancel(received, 4_000, 60 * s))).toMatchObject({ graceMs: 0 });
  });

  test("whose worker refuses a longer cancel that crossed the first one's way goes back to the first", () => {
    const first = report(send(running(), run(RunMode.CANCEL, 6_000)).record, {});
    const withdrawn = { ...first, spec: send(running(), run(RunMode.RUN)).record.spec };
    const second = send(withdrawn, run(RunMode.CANCEL, 30_000)).record;
    const generation = second.spec?.generation ?? 0n;
    const said = create(AttemptReportSchema, {
      attempt: 1,
      started: true,
      receivedGeneration: generation,
      levers: [
        { generation: 2n, outcome: LeverOutcome.APPLIED, value: run(RunMode.CANCEL, 6_000) },
        { generation, outcome: LeverOutcome.REJECTED, reason: "cancelling", value: run(RunMode.CANCEL, 30_000) },
      ],
    });
    const after = foldReport(second, said, 30);
    expect(settingOf(after?.spec, "run")).toMatchObject({ generation: generation + 1n });
    expect(settingOf(after?.spec, "run")?.value).toEqual(run(RunMode.CANCEL, 6_000));
    expect(after?.receipts.map(({ state }) => state)).toEqual([ReceiptState.APPLIED, ReceiptState.REJECTED]);
  });

  test("takes a command back that was not delivered, and no other", () => {
    const lost = foldLost(running(), "silent", 30) ?? running();
    const asked = send(lost, run(RunMode.CANCEL)).record;
    const withdraw = create(CommandSchema, { action: { case: "withdrawGeneration", value: 2n } });
    const back = foldCommand(asked, withdraw, operator, "r2", 50).record;
    expect([wantedRun(back.spec), back.receipts.at(-1)?.state]).toEqual([RunMode.RUN, ReceiptState.WITHDRAWN]);
    const delivered = report(foldBack(asked, 51) ?? asked, {});
    expect(() => foldCommand(delivered, withdraw, operator, "r3", 52)).toThrow(/has the command already/);
  });

  test("says in truth why a command that is decided cannot be taken back", () => {
    const withdraw = (record: JobRecord, generation: bigint, now = 50) =>
      foldCommand(
        record,
        create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } }),
        operator,
        "r",
        now,
      ).record;
    const held = send(started(), run(RunMode.PAUSE)).record;
    expect(() => withdraw(held, 2n)).toThrow(/^The command is in effect already: it cannot be taken back/);
    const asked = send(running(), speed(3), 10, { deliverWithinMs: 1n }).record;
    expect(() => withdraw(withdraw(asked, 2n), 2n)).toThrow(/^The command is taken back already/);
    expect(() => withdraw(foldDeliverBy(asked, 2n, 2_000) ?? asked, 2n)).toThrow(/has expired/);
    const ended = report(asked, { end: EndOutcome.SUCCEEDED });
    expect(() => withdraw(ended, 2n)).toThrow(/was rejected/);
    const later = report(send(asked, speed(4)).record, { levers: [[speed(4), LeverOutcome.APPLIED, 3n]] });
    expect(() => withdraw(later, 2n)).toThrow(/A newer command has taken the place/);
  });

  test("that is canceled while it waits to be tried again was canceled before its next attempt", () => {
    const reason = (record: JobRecord) => send(record, run(RunMode.CANCEL)).record.reason;
    expect(reason(started())).toBe("canceled before it started");
    expect(reason(report(running(), { end: EndOutcome.RELEASED }))).toBe("canceled before its next attempt");
  });

  test("cannot be canceled by the end of a hold, whether that is said or what stood before", () => {
    expect(() => send(running(), run(RunMode.PAUSE), 10, { hold: forMs(10n, run(RunMode.CANCEL)) })).toThrow(
      /A cancel is for good.* cannot follow a hold/,
    );
    const lost = foldLost(running(), "silent", 30) ?? running();
    const asked = send(lost, run(RunMode.CANCEL)).record;
    expect(() => send(asked, run(RunMode.PAUSE), 40, { hold: forMs(10n) })).toThrow(/The job is being canceled/);
  });

  test("says that there is no such generation yet to a command that was sent on one", () => {
    expect(() => send(running(), speed(3), 10, { ifGeneration: 9n })).toThrow(
      "There is no generation 9 of this job yet: its newest is 1. Your command changed nothing.",
    );
  });

  test("puts a lever back behind all commands that expired, not to one of them", () => {
    const lost = foldLost(running(), "silent", 30) ?? running();
    const first = send(lost, run(RunMode.PAUSE), 40, { deliverWithinMs: 1n }).record;
    const second = send(first, run(RunMode.CANCEL), 41, { deliverWithinMs: 1n }).record;
    const expired = foldDeliverBy(second, 2n, 2_000);
    const both = expired && foldDeliverBy(expired, 3n, 2_000);
    expect(wantedRun(both?.spec)).toBe(RunMode.RUN);
  });

  test("that is paused and released holds in the queue, and the pause is carried out by that", () => {
    const asked = send(running(), run(RunMode.PAUSE), 10, { deliverWithinMs: 1n }).record;
    const released = report(asked, { end: EndOutcome.RELEASED });
    expect([released.state, released.receipts.at(-1)?.state]).toEqual([JobState.QUEUED, ReceiptState.APPLIED]);
    expect(foldDeliverBy(released, 2n, 50_000)).toBeUndefined();
    expect(() => foldAssign(released, worker, 30)).toThrow(Refused);
  });

  test.each([
    ["speed 0", speed(0), /not above 0/],
    ["speed NaN", speed(NaN), /not above 0/],
    ["a speed at which the next item would never come", speed(1e-300), /at least 0.00001 items a second/],
    ["no run mode", run(RunMode.UNSPECIFIED), /mode is not set/],
    ["no lever", create(LeverValueSchema), /names no lever/],
    ["priority 101", priority(101), /not between -100 and 100/],
  ])("refuses %s and names the bound", (_, value, message) => {
    expect(() => send(running(), value)).toThrow(message);
  });
});

// All interleavings of commands, reports, leases, gives-up and retries.
const step = fc.oneof(
  fc.record({
    kind: fc.constant("command" as const),
    value: fc.constantFrom(
      run(RunMode.RUN),
      run(RunMode.PAUSE),
      run(RunMode.CANCEL),
      speed(5),
      speed(9),
      speed(),
      priority(7),
      priority(0),
    ),
    hold: fc.constantFrom(undefined, forMs(30_000n)),
  }),
  fc.record({ kind: fc.constant("withdraw" as const), behind: fc.nat(3) }),
  fc.record({
    kind: fc.constant("report" as const),
    behind: fc.nat(3),
    outcome: fc.constantFrom(
      LeverOutcome.UNSPECIFIED,
      LeverOutcome.APPLIED,
      LeverOutcome.REJECTED,
      LeverOutcome.REVERTED,
    ),
    lever: fc.constantFrom("run" as const, "speed" as const),
  }),
  fc.record({
    kind: fc.constant("end" as const),
    outcome: fc.constantFrom(
      EndOutcome.SUCCEEDED,
      EndOutcome.FAILED,
      EndOutcome.CANCELED,
      EndOutcome.RELEASED,
      EndOutcome.DECLINED,
    ),
  }),
  fc.record({
    kind: fc.constant("late" as const),
    behind: fc.nat(2),
    outcome: fc.constantFrom(undefined, EndOutcome.SUCCEEDED, EndOutcome.GIVEN_UP),
  }),
  // What it takes to give an attempt up is rare in a row of steps that know nothing of each other.
  fc.record({ kind: fc.constant("abandon" as const), retry: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom(
      "assign" as const,
      "assignOther" as const,
      "lost" as const,
      "back" as const,
      "giveUp" as const,
      "retry" as const,
      "workerGone" as const,
      "holdEnded" as const,
    ),
  }),
);

test("whatever happens in whatever order, a job's history makes sense", { timeout: 120_000 }, () => {
  let lateTaken = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, pinned) => {
      let record = started([run(RunMode.RUN)], pinned ? worker.workerId : "");
      let now = 100;
      for (const each of steps) {
        now += 20_000_000;
        const before = record;
        const untouched = clone(JobRecordSchema, before);
        let after: JobRecord | undefined;
        try {
          switch (each.kind) {
            case "command":
              after = send(record, each.value, now, each.hold ? { hold: each.hold } : {}).record;
              break;
            case "withdraw": {
              const generation = (record.spec?.generation ?? 0n) - BigInt(each.behind);
              const command = create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } });
              after = foldCommand(record, command, operator, "r", now).record;
              break;
            }
            case "report": {
              const setting = settingOf(record.spec, each.lever);
              if (!setting?.value) break;
              const generation = setting.generation - BigInt(each.behind);
              if (generation > 0n)
                after = report(
                  record,
                  { received: generation, levers: [[setting.value, each.outcome, generation]] },
                  now,
                );
              break;
            }
            case "end":
              after = report(record, { end: each.outcome }, now);
              break;
            case "assign":
              after = foldAssign(record, worker, now);
              break;
            case "assignOther":
              after = foldAssign(record, { ...worker, workerId: "other" }, now);
              break;
            case "abandon": {
              const lost = foldLost(foldAssign(record, worker, now), "silent", now);
              now += 45_000_000;
              if (lost) after = each.retry ? foldRetry(lost, undefined, now) : foldGiveUp(lost, "gone", now);
              break;
            }
            case "late": {
              const number = (record.attempts.at(-1)?.number ?? 0) - each.behind;
              const { outcome } = each;
              const news =
                outcome === undefined ? { firstLine: 9 } : { end: create(AttemptEndSchema, { outcome, endLine: 9n }) };
              after = foldLate(record, number, news, now)?.record;
              if (!after) break;
              lateTaken++;
              // But for the evidence, and receipts that were decided before, nothing is another than it was.
              const same = { late: after.late, receipts: after.receipts };
              expect(equals(JobRecordSchema, after, { ...before, ...same })).toBe(true);
              break;
            }
            case "workerGone":
              after = foldWorkerGone(record, now);
              break;
            case "holdEnded":
              after = foldHoldEnded(record, "speed", now) ?? foldHoldEnded(record, "run", now);
              break;
            case "lost":
              after = foldLost(record, "silent", now);
              break;
            case "back":
              after = foldBack(record, now);
              break;
            case "giveUp":
              after = foldGiveUp(record, "gone", now);
              break;
            case "retry":
              after = foldRetry(record, undefined, now);
              break;
          }
        } catch (error) {
          expect(error).toBeInstanceOf(Refused);
        }
        expect(equals(JobRecordSchema, before, untouched)).toBe(true);
        if (!after) continue;
        record = after;
        expectSensible(before, after, { isRetry: each.kind === "retry" });
        // What is read again from the topic is the same record.
        const stored = toBinary(JobEntrySchema, create(JobEntrySchema, { record: after }));
        const { record: read } = fromBinary(JobEntrySchema, stored);
        expect(read && equals(JobRecordSchema, read, after)).toBe(true);
      }
    }),
    { numRuns: 1000 },
  );
  expect(lateTaken).toBeGreaterThan(20);
});
