import { clone, create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptSchema,
  CommandSchema,
  DeadlineSchema,
  EndOutcome,
  HoldSchema,
  JobRecordSchema,
  JobSpecSchema,
  LeverValueSchema,
  ReceiptState,
  RetryPolicySchema,
  RunMode,
  type Attempt,
  type AttemptReport,
  type JobRecord,
  type JobSpec,
  type LeverValue,
} from "@signalbox/protocol";
import { isInDoubt } from "@signalbox/protocol/job-state";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Refused } from "../refused.ts";
import { expectSensible } from "../testing/job-history.ts";
import { ModelWorker } from "../testing/model-worker.ts";
import { serverActor } from "./dispatch.ts";
import { foldDeadline, foldGiveUpLost, foldRetryDue } from "./fold-again.ts";
import { foldCommand, foldDeliverBy, foldHoldEnded } from "./fold-command.ts";
import { foldLate } from "./fold-late.ts";
import { foldProof, provable, provedCancel } from "./fold-proof.ts";
import { foldHello } from "./fold-report.ts";
import { foldAssign, foldBack, foldGiveUp, foldLost, foldRetry, newRecord } from "./job-fold.ts";
import { hasEnded, isOpen, openAttempt } from "./job-record.ts";
import { isCancel, leverOf, settingOf, type Lever } from "./levers.ts";

// A job and an honest worker, with a wire between them on which words are late, are said twice and are lost; and people, who know nothing
// of each other. After each step whoever watches the job sees something that may follow on what it has seen.

const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const chosen = { workerId: "w", incarnation: "i".repeat(16), metadata: {}, clockOffsetUs: 0 };
const levers = ["run", "speed", "parameters"] as const satisfies readonly Lever[];

const value = (value: LeverValue["value"]): LeverValue => create(LeverValueSchema, { value });
const run = (mode: RunMode, graceMs = 0) =>
  value({ case: "run", value: { $typeName: "signalbox.v1.RunValue", mode, graceMs, reason: "", bySystem: false } });
const speed = (itemsPerSecond: number) =>
  value({ case: "speed", value: { $typeName: "signalbox.v1.SpeedValue", itemsPerSecond } });
const priority = (priority: number) =>
  value({ case: "priority", value: { $typeName: "signalbox.v1.PriorityValue", priority } });

/** The job as the server has it, the process that runs it, and what is on its way between the two. */
class World {
  now = 1_000_000;
  record: JobRecord;
  worker: ModelWorker | undefined;
  readonly down: JobSpec[] = [];
  readonly up: AttemptReport[] = [];
  /** How each command was decided, by generation. */
  readonly decided = new Map<bigint, ReceiptState>();
  readonly accepted = new Set<bigint>();
  /** The newest generation that was sent to the process of the open attempt. */
  sent = 0n;
  /** Nothing more is sent to it: the link is broken. */
  away = false;
  /** What the process said as it connected again, which is not folded yet, and the commands that were in doubt when it did. */
  hello: { report: AttemptReport; doubts: readonly bigint[] } | undefined;
  readonly counts = new Map<string, number>();

  constructor(retry: boolean, deadline: boolean) {
    const policies = {
      ...(retry
        ? {
            retry: create(RetryPolicySchema, {
              mostAttempts: 3,
              backOffMs: 5_000n,
              factor: 2,
              longestBackOffMs: 9_000n,
            }),
          }
        : {}),
      ...(deadline ? { deadline: create(DeadlineSchema, { afterMs: 30_000n, graceMs: 1000 }) } : {}),
    };
    if (policies.retry) policies.retry.whenLost = deadline;
    const startDigest = new Uint8Array();
    const job = { id: "j-1", name: "n", type: "t", labels: {}, workerId: "", actor: operator, startDigest };
    const parameters = value({
      case: "parameters",
      value: { $typeName: "signalbox.v1.ParametersValue", parameters: {} },
    });
    this.record = newRecord({ ...job, ...policies, levers: [run(RunMode.RUN), parameters] }, this.now);
  }

  /** Folds, if nothing speaks against it, and looks at the job as those do who watch it. */
  fold(kind: string, fold: (before: JobRecord) => JobRecord | undefined): void {
    const before = this.record;
    const untouched = clone(JobRecordSchema, before);
    const stored = fromBinary(JobRecordSchema, toBinary(JobRecordSchema, before));
    const after = attempted(() => fold(before));
    expect(equals(JobRecordSchema, before, untouched)).toBe(true);
    // Whoever reads the job from the store and folds the same has the same.
    const again = attempted(() => fold(stored));
    expect(again === undefined).toBe(after === undefined);
    if (!after || !again) return;
    expect(equals(JobRecordSchema, again, after)).toBe(true);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.record = after;
    expectSensible(before, after, { isRetry: kind === "retry" });
    this.#watch(before, after);
    const open = openAttempt(after);
    if (open?.number !== this.worker?.attempt) {
      this.worker = open && new ModelWorker(open.number);
      this.down.length = 0;
      this.sent = 0n;
      this.away = false;
      this.hello = undefined;
    }
    if (open && (before.spec?.generation !== after.spec?.generation || !openAttempt(before))) this.say();
  }

  /** The server says what is wanted of the attempt. */
  say(): void {
    const { spec } = this.record;
    if (!this.worker || !spec || this.away) return;
    this.sent = spec.generation;
    this.down.push(clone(JobSpecSchema, spec));
  }

  /** What was said arrives. */
  arrive(spec: JobSpec | undefined = this.down.shift()): void {
    if (!spec) return;
    this.worker?.receive(spec);
    for (const [generation, state] of this.decided)
      if (state === ReceiptState.WITHDRAWN || state === ReceiptState.EXPIRED) this.expectNeverHad(generation);
  }

  /** Expects that the process of the open attempt has not received a command. One that has ended, or was given up, counts no more. */
  expectNeverHad(generation: bigint): void {
    expect(this.worker?.had.has(generation) ?? false).toBe(false);
  }

  /** All that was said arrives, and what is wanted now. */
  arriveAll(): void {
    this.say();
    while (this.down.length > 0) this.arrive();
  }

  /** The process connects again: what was on its way is gone, and it says what it has. */
  connect(): void {
    this.up.length = 0;
    this.down.length = 0;
    this.away = false;
    const doubts = this.record.receipts.filter(isInDoubt).map(({ generation }) => generation);
    if (this.worker) this.hello = { report: this.worker.report(), doubts };
  }

  /** The server folds the word with which the process has connected. */
  greet(): void {
    const { hello } = this;
    if (!hello) return;
    this.hello = undefined;
    this.hear(hello.report, hello.doubts);
    this.say();
  }

  #watch(before: JobRecord, after: JobRecord): void {
    for (const setting of before.spec?.levers ?? []) {
      const later = settingOf(after.spec, setting.value?.value.case ?? "run");
      if (later) expect(later.generation).toBeGreaterThanOrEqual(setting.generation);
      // Another value or another hold is another generation.
      if (later?.generation === setting.generation) expect(later.value).toEqual(setting.value);
    }
    for (const attempt of before.attempts) {
      const later = after.attempts.find(({ number }) => number === attempt.number);
      if (attempt.endedAtUs !== 0n && later) expect(plain(later)).toEqual(plain(attempt));
    }
    const wasOpen = openAttempt(before);
    const hasLeft = wasOpen !== undefined && openAttempt(after)?.number !== wasOpen.number;
    for (const receipt of after.receipts) {
      const { generation, state } = receipt;
      const was = before.receipts.find((each) => each.generation === generation)?.state;
      if (was === undefined) {
        expect(this.accepted.has(generation)).toBe(false);
        expect(generation).toBeGreaterThan(before.spec?.generation ?? 0n);
        this.accepted.add(generation);
      } else if (was !== state) {
        // What the worker of an ended attempt had, the next one has not.
        if (state === ReceiptState.ACCEPTED) expect([was, hasLeft]).toEqual([ReceiptState.DELIVERED, true]);
        else expect(state).toBeGreaterThan(was);
      }
      const times = [receipt.acceptedAtUs, receipt.deliveredAtUs, receipt.decidedAtUs, receipt.provedAtUs];
      const reached = times.filter((at) => at !== 0n);
      expect(reached).toEqual(reached.toSorted((a, b) => Number(a - b)));
      // What is delivered, the worker of the open attempt has; newer words alone take the place of older ones.
      if (state === ReceiptState.DELIVERED)
        expect(openAttempt(after)?.receivedGeneration ?? 0n).toBeGreaterThanOrEqual(generation);
      if (state === ReceiptState.SUPERSEDED) expect(receipt.supersededBy).toBeGreaterThan(generation);
      if (isOpen(receipt)) continue;
      const known = this.decided.get(generation);
      // What is told as taken back or expired, the worker does not have.
      if (state === ReceiptState.WITHDRAWN || state === ReceiptState.EXPIRED) this.expectNeverHad(generation);
      // Decided once, and what was applied may be proved after it.
      if (known !== undefined && known !== state)
        expect([known, state]).toEqual([ReceiptState.APPLIED, ReceiptState.PROVED]);
      this.decided.set(generation, state);
    }
  }

  /** The server hears a word on the attempt that is open. */
  hear(report: AttemptReport, doubts: readonly bigint[] = []): void {
    this.fold("report", (before) => {
      if (openAttempt(before)?.number !== report.attempt) return undefined;
      const back = report.end ? undefined : foldBack(before, this.now);
      return back ? (foldHello(back, report, doubts, this.now) ?? back) : foldHello(before, report, doubts, this.now);
    });
  }

  /** What the server's clock decides. */
  timers(): void {
    const { now } = this;
    for (const { generation } of this.record.receipts)
      this.fold("expired", (before) => foldDeliverBy(before, generation, now, this.sent));
    for (const lever of levers) this.fold("hold ended", (before) => foldHoldEnded(before, lever, now));
    this.fold("retry due", (before) => foldRetryDue(before, now));
    this.fold("deadline", (before) => foldDeadline(before, serverActor, now)?.record);
    this.fold("given up by policy", (before) => foldGiveUpLost(before, now));
  }

  send(value: LeverValue, more: Partial<{ ifGeneration: bigint; deliverWithinMs: bigint; holdMs: bigint }> = {}): void {
    const { holdMs, ...rest } = more;
    const hold = holdMs === undefined ? {} : { hold: create(HoldSchema, { durationMs: holdMs }) };
    const command = create(CommandSchema, { action: { case: "set", value }, ...rest, ...hold });
    this.fold("command", (before) => foldCommand(before, command, operator, "r", this.now, this.sent).record);
  }

  /** All that is on its way arrives, and the worker does what it is asked, until there is nothing more to do. */
  settle(): void {
    for (let round = 0; round < 8 && this.worker; round++) {
      const { worker } = this;
      if (this.away) this.connect();
      this.greet();
      this.arriveAll();
      for (const lever of levers) worker.apply(lever);
      this.hear(worker.report());
    }
  }
}

/** An attempt but for what goes on to the next one. */
function plain(attempt: Attempt): Attempt {
  return { ...clone(AttemptSchema, attempt), checkpoint: new Uint8Array() };
}

function attempted(fold: () => JobRecord | undefined): JobRecord | undefined {
  try {
    return fold();
  } catch (error) {
    expect(error).toBeInstanceOf(Refused);
    return undefined;
  }
}

const lever = fc.constantFrom(...levers);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("command" as const),
      value: fc.oneof(
        {
          weight: 5,
          arbitrary: fc.constantFrom(run(RunMode.RUN), run(RunMode.PAUSE), speed(5), speed(9), priority(3)),
        },
        {
          weight: 1,
          arbitrary: fc.constantFrom(run(RunMode.CANCEL), run(RunMode.CANCEL, 6_000), run(RunMode.CANCEL, 30_000)),
        },
      ),
      holdMs: fc.constantFrom(undefined, undefined, 20_000n),
      deliverWithinMs: fc.constantFrom(0n, 0n, 5_000n),
      stale: fc.constantFrom(undefined, 0n, 1n),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom("deliver" as const, "say" as const, "hear" as const, "hear again" as const),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("apply" as const), lever }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("reject" as const, "revert" as const), lever }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom("assign" as const, "assign" as const, "print" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom("lost" as const, "redeliver" as const, "part" as const, "cut" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("greet" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom("giveUp" as const, "retry" as const, "late" as const),
    }),
  },
  // What it takes to give an attempt up is rare in a row of steps that know nothing of each other.
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("abandon" as const),
      by: fc.constantFrom("retry" as const, "giveUp" as const, "policy" as const),
      late: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), behind: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("prove" as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("prompt" as const), lever }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("time" as const), seconds: fc.constantFrom(1, 6, 50) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      outcome: fc.constantFrom(
        ...[EndOutcome.SUCCEEDED, EndOutcome.FAILED, EndOutcome.FAILED, EndOutcome.CANCELED],
        ...[EndOutcome.RELEASED, EndOutcome.DECLINED],
      ),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(world: World, step: Step): void {
  const { worker, up } = world;
  world.now += 1000;
  const generation = world.record.spec?.generation ?? 0n;
  switch (step.kind) {
    case "command": {
      const { value, holdMs, deliverWithinMs, stale } = step;
      const ifGeneration = stale === undefined || generation <= stale ? {} : { ifGeneration: generation - stale };
      world.send(value, {
        deliverWithinMs,
        ...ifGeneration,
        ...(holdMs === undefined || isCancel(value) ? {} : { holdMs }),
      });
      return;
    }
    case "withdraw": {
      const command = create(CommandSchema, {
        action: { case: "withdrawGeneration", value: generation - BigInt(Math.min(step.behind, Number(generation))) },
      });
      world.fold("withdraw", (before) => foldCommand(before, command, operator, "r", world.now, world.sent).record);
      return;
    }
    case "deliver":
      world.arrive();
      return;
    case "prompt":
      // All at once, as it is most of the time.
      if (world.away || world.hello) return;
      world.arriveAll();
      worker?.apply(step.lever);
      if (worker) world.hear(worker.report());
      return;
    case "redeliver":
      world.say();
      return;
    case "part":
      world.away = true;
      return;
    case "greet":
      world.greet();
      return;
    case "apply":
      worker?.apply(step.lever);
      return;
    case "reject":
      worker?.reject(step.lever);
      return;
    case "revert":
      worker?.revert(step.lever, settingOf(world.record.spec, step.lever));
      return;
    case "print":
      worker?.print();
      return;
    case "end":
      worker?.end(step.outcome);
      return;
    case "say":
      if (worker) up.push(worker.report());
      return;
    case "hear":
    case "hear again": {
      // The word with which a process connects is heard first.
      if (world.hello) {
        world.greet();
        return;
      }
      const report = step.kind === "hear" ? up.shift() : up[0];
      if (report) world.hear(report);
      return;
    }
    case "cut":
      world.connect();
      return;
    case "assign":
      world.fold("assign", (before) => foldAssign(before, chosen, world.now));
      return;
    case "lost":
      world.fold("lost", (before) => foldLost(before, "silent", world.now));
      return;
    case "abandon":
      world.fold("lost", (before) => foldLost(before, "silent", world.now));
      world.now += 45_000_000;
      if (step.by === "policy") world.timers();
      else take(world, { kind: step.by });
      if (step.late) take(world, { kind: "late" });
      return;
    case "giveUp":
      world.fold("give up", (before) => foldGiveUp(before, "gone", world.now));
      return;
    case "retry":
      world.fold("retry", (before) => foldRetry(before, undefined, world.now));
      return;
    case "late":
      world.fold(
        "late",
        (before) => foldLate(before, before.attempts.at(-1)?.number ?? 0, { firstLine: 3 }, world.now)?.record,
      );
      return;
    case "prove": {
      const [waiting] = provable(world.record);
      const proved = waiting?.generation ?? provedCancel(world.record)?.generation ?? generation;
      world.fold("proof", (before) => foldProof(before, proved, "it stands", world.now));
      return;
    }
    case "time":
      world.now += step.seconds * 1_000_000;
      world.timers();
  }
}

test(
  "whatever is said, lost, late or said twice, a job never goes back, levers come to rest where they are asked, and every command is decided once",
  { timeout: 120_000 },
  () => {
    const counts = new Map<string, number>();
    const outcomes = new Map<ReceiptState, number>();
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.boolean(),
        fc.array(step, { minLength: 20, maxLength: 120 }),
        (retry, deadline, steps) => {
          const world = new World(retry, deadline);
          for (const each of steps) take(world, each);

          // What is left to do is done: then the worker has what is asked of it, and nothing waits but a cancel, for the end.
          world.settle();
          const open = openAttempt(world.record);
          if (open && world.worker && !world.worker.hasEnded) {
            const waiting = world.record.receipts.filter(isOpen);
            const standing = settingOf(world.record.spec, "run");
            const last = isCancel(standing?.value)
              ? (standing?.generation ?? 0n)
              : (waiting.findLast((each) => isCancel(each.value))?.generation ?? 0n);
            expect(waiting.filter(({ value, generation }) => leverOf(value) !== "run" || generation > last)).toEqual(
              [],
            );
            // What is shown of a cancel, its grace too, is what the worker does.
            if (world.worker.hasCancel)
              expect(settingOf(world.record.spec, "run")?.value?.value.value).toMatchObject({
                mode: RunMode.CANCEL,
                graceMs: world.worker.graceMs,
              });
            else if (!world.worker.hasCancel)
              for (const each of ["run", "speed"] as const) {
                const wanted = settingOf(world.record.spec, each);
                const word = open.levers.find((report) => report.value?.value.case === each);
                if (wanted) expect(word?.value).toEqual(wanted.value);
              }
          }

          // And then it ends.
          for (let round = 0; round < 10 && !hasEnded(world.record); round++) {
            world.send(run(RunMode.CANCEL));
            world.settle();
            world.worker?.end(EndOutcome.CANCELED);
            world.settle();
          }
          expect(hasEnded(world.record)).toBe(true);
          expect([...world.accepted].filter((generation) => !world.decided.has(generation))).toEqual([]);
          for (const [kind, count] of world.counts) counts.set(kind, (counts.get(kind) ?? 0) + count);
          for (const state of world.decided.values()) outcomes.set(state, (outcomes.get(state) ?? 0) + 1);
        },
      ),
      { numRuns: 500 },
    );
    // A property that never came to what it is about would hold as well.
    for (const kind of [
      "command",
      "withdraw",
      "report",
      "expired",
      "hold ended",
      "lost",
      "give up",
      "retry",
      "late",
      "proof",
    ])
      expect([kind, (counts.get(kind) ?? 0) > 2]).toEqual([kind, true]);
    for (const kind of ["retry due", "deadline", "given up by policy"])
      expect([kind, (counts.get(kind) ?? 0) > 0]).toEqual([kind, true]);
    for (const state of ["APPLIED", "PROVED", "REJECTED", "SUPERSEDED", "EXPIRED", "WITHDRAWN"] as const)
      expect([state, (outcomes.get(ReceiptState[state]) ?? 0) > 2]).toEqual([state, true]);
  },
);
