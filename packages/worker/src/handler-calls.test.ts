import { setImmediate as nextTurn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { JobSpecSchema, LeverOutcome, RunMode, type JobSpec } from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HandlerCalls } from "./handler-calls.ts";
import { Levers } from "./levers.ts";
import type { LeverInit } from "./server-for-tests.ts";

type Act =
  | { kind: "pause" | "run" | "resolve" | "reject" | "repeat" | "pass" }
  | { kind: "cancel"; graceMs: number }
  | { kind: "hold"; durationMs: number }
  | { kind: "parameters"; size: number; durationMs: number };

const act: fc.Arbitrary<Act> = fc.oneof(
  fc.constantFrom<Act>(
    { kind: "pause" },
    { kind: "run" },
    { kind: "resolve" },
    { kind: "reject" },
    { kind: "repeat" },
    { kind: "pass" },
  ),
  fc.record({ kind: fc.constant("hold" as const), durationMs: fc.integer({ min: 1, max: 30 }) }),
  fc.record({
    kind: fc.constant("parameters" as const),
    size: fc.integer({ min: 1, max: 3 }),
    durationMs: fc.constantFrom(0, 0, 5, 30),
  }),
);
const cancel = fc.record({ kind: fc.constant("cancel" as const), graceMs: fc.integer({ min: 0, max: 1000 }) });

/** A job whose handlers a test decides, and the levers that move it. */
class HandledJob {
  readonly called: string[] = [];
  /** What the job itself does, told by its handlers. */
  stands = false;
  size = 0;
  nowMs = 0;
  readonly cancels: number[] = [];
  readonly levers: Levers;
  readonly #calls: HandlerCalls[];
  #open: { name: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  #generation = 0n;
  readonly #spec: JobSpec = create(JobSpecSchema);

  constructor() {
    this.levers = new Levers(
      { type: "test", offered: ["run", "parameters"] },
      {
        speed: () => undefined,
        logLevel: () => undefined,
        run: () => undefined,
        cancel: (graceMs) => this.cancels.push(this.nowMs + graceMs),
        mark: () => 1,
      },
      { wallUs: () => 0, monotonicMs: () => this.nowMs },
    );
    const { run, parameters } = this.levers;
    const over = { onMoved: () => undefined, isOver: () => false };
    this.#calls = [
      new HandlerCalls(
        {
          begin: () => {
            const name = run.begin({ pause: true, stop: false });
            return name && (() => this.#call(name, () => (this.stands = name === "pause")));
          },
          done: () => run.done(),
          refused: (reason) => run.refused(reason),
        },
        over,
      ),
      new HandlerCalls(
        {
          begin: () => {
            const next = parameters.begin();
            return next && (() => this.#call("parameters", () => (this.size = Number(next.size))));
          },
          done: () => parameters.done(),
          refused: (reason) => parameters.refused(reason),
        },
        over,
      ),
    ];
    parameters.handle();
    this.set({ case: "run", value: { mode: RunMode.RUN } });
    this.set({ case: "parameters", value: { parameters: { size: 0 } } });
  }

  /** The names of the handlers that are at work. */
  get atWork(): string[] {
    return this.#open.map(({ name }) => name);
  }

  get generation(): bigint {
    return this.#generation;
  }

  wanted(lever: "run" | "parameters") {
    return this.#spec.levers.find(({ value }) => value?.value.case === lever);
  }

  word(lever: "run" | "parameters") {
    return this.levers.reports().filter(({ value }) => value?.value.case === lever);
  }

  set(value: LeverInit, hold?: { durationMs: number; then: LeverInit }): void {
    this.#generation++;
    const setting = create(JobSpecSchema, {
      levers: [
        {
          generation: this.#generation,
          value: { value },
          ...(hold ? { hold: { durationMs: BigInt(hold.durationMs), then: { value: hold.then } } } : {}),
        },
      ],
    }).levers;
    this.#spec.levers = [...this.#spec.levers.filter((each) => each.value?.value.case !== value.case), ...setting];
    this.#spec.generation = this.#generation;
    this.deliver();
  }

  deliver(): void {
    this.levers.receive(this.#spec);
    for (const calls of this.#calls) calls.look();
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.levers.endHolds();
    for (const calls of this.#calls) calls.look();
  }

  /** Lets the oldest call end. */
  async settle(how: "resolve" | "reject"): Promise<void> {
    const call = this.#open.shift();
    if (how === "resolve") call?.resolve();
    else call?.reject(new Error("no"));
    await nextTurn();
  }

  async #call(name: string, effect: () => void): Promise<void> {
    const clash = this.atWork.filter((other) => (other === "parameters") === (name === "parameters"));
    expect(clash).toEqual([]);
    this.called.push(name);
    await new Promise<void>((resolve, reject) => this.#open.push({ name, resolve, reject }));
    effect();
  }
}

async function play(job: HandledJob, acts: readonly Act[]): Promise<void> {
  for (const each of acts) {
    switch (each.kind) {
      case "pause":
      case "run":
        job.set({ case: "run", value: { mode: each.kind === "run" ? RunMode.RUN : RunMode.PAUSE } });
        break;
      case "hold": {
        const then = { case: "run", value: { mode: RunMode.RUN } } as const;
        job.set({ case: "run", value: { mode: RunMode.PAUSE } }, { durationMs: each.durationMs, then });
        break;
      }
      case "parameters":
        job.set(
          { case: "parameters", value: { parameters: { size: each.size } } },
          each.durationMs > 0
            ? { durationMs: each.durationMs, then: { case: "parameters", value: { parameters: { size: 9 } } } }
            : undefined,
        );
        break;
      case "cancel":
        job.set({ case: "run", value: { mode: RunMode.CANCEL, graceMs: each.graceMs } });
        break;
      case "resolve":
      case "reject":
        await job.settle(each.kind);
        break;
      case "repeat":
        job.deliver();
        break;
      case "pass":
        job.pass(10);
        break;
    }
    await nextTurn();
    checkWords(job);
  }
}

/** What the levers say is what the job does. */
function checkWords(job: HandledJob): void {
  const inEffect = job.word("run").find(({ outcome }) => outcome !== LeverOutcome.REJECTED)?.value?.value;
  if (!job.levers.run.isCancelled && inEffect?.case === "run")
    expect(inEffect.value.mode === RunMode.PAUSE).toBe(job.stands);
  expect(job.levers.run.isStanding).toBe(job.stands);
  expect(Number(job.levers.parameters.inEffect.size)).toBe(job.size);
  for (const word of [job.word("run"), job.word("parameters")]) {
    for (const { generation } of word) expect(generation <= job.generation).toBe(true);
    const [first, second] = word;
    // A refusal stands behind what is in effect, and is newer.
    if (second)
      expect([second.outcome, second.generation > (first?.generation ?? 0n)]).toEqual([LeverOutcome.REJECTED, true]);
  }
}

async function settleAll(job: HandledJob): Promise<void> {
  for (let calls = 0; job.atWork.length > 0; calls++) {
    expect(calls).toBeLessThan(10);
    await job.settle("resolve");
  }
}

describe("the handlers of a job", () => {
  test("are called one at a time, and whatever was asked meanwhile the newest wish is in effect in the end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
        const job = new HandledJob();
        await play(job, acts);
        job.pass(1000);
        await settleAll(job);
        // Holds that a last call began.
        job.pass(1000);
        await settleAll(job);
        checkWords(job);
        for (const lever of ["run", "parameters"] as const)
          expect(job.word(lever).at(-1)?.generation).toBe(job.wanted(lever)?.generation);
        const newest = job.wanted("run");
        const outcome = job.word("run").at(-1)?.outcome;
        const mode = outcome === LeverOutcome.REVERTED ? newest?.hold?.then : newest?.value;
        const refused = outcome === LeverOutcome.REJECTED;
        // A hold that nobody has refused to end is over.
        if (newest?.hold && !acts.some(({ kind }) => kind === "reject")) expect(outcome).toBe(LeverOutcome.REVERTED);
        if (!refused && mode?.value.case === "run") expect(job.stands).toBe(mode.value.value.mode === RunMode.PAUSE);
      }),
      { numRuns: 300 },
    );
  });

  test("are not called after a cancel, which may come while one is at work", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 12 }), cancel, fc.array(fc.oneof(act, cancel)), async (...all) => {
        const [before, first, after] = all;
        const job = new HandledJob();
        await play(job, before);
        await play(job, [first]);
        const runCalls = () => job.called.filter((name) => name !== "parameters").length;
        const calls = runCalls();
        await play(job, after);
        await settleAll(job);
        expect(runCalls()).toBe(calls);
        // Each cancel that was passed on left less time than the one before.
        expect(job.cancels).toEqual([...new Set(job.cancels)].sort((a, b) => b - a));
        const last = job.word("run").at(-1);
        if (last?.outcome === LeverOutcome.REJECTED && last.generation > 1n) {
          const refusals = ["cancelling", "no"];
          expect(refusals).toContain(last.reason);
        }
        job.levers.run.cancelTookEffect();
        expect(job.word("run")[0]?.value?.value.value).toMatchObject({ mode: RunMode.CANCEL });
      }),
      { numRuns: 300 },
    );
  });

  test("a pause that is withdrawn while pause() runs is applied, and then the job goes on", async () => {
    const job = new HandledJob();
    job.set({ case: "run", value: { mode: RunMode.PAUSE } });
    job.set({ case: "run", value: { mode: RunMode.RUN } });
    expect(job.called).toEqual(["pause"]);
    await job.settle("resolve");
    expect(job.called).toEqual(["pause", "resume"]);
    await job.settle("resolve");
    expect(job.stands).toBe(false);
    expect(job.word("run")).toMatchObject([{ generation: 4n, outcome: LeverOutcome.APPLIED }]);
  });

  test("a pause that is withdrawn while pause() runs and then fails leaves the job running", async () => {
    const job = new HandledJob();
    job.set({ case: "run", value: { mode: RunMode.PAUSE } });
    job.set({ case: "run", value: { mode: RunMode.RUN } });
    await job.settle("reject");
    expect(job.called).toEqual(["pause"]);
    expect(job.word("run")).toMatchObject([{ generation: 4n, outcome: LeverOutcome.APPLIED }]);
  });

  test("parameters that are in effect already need no call", async () => {
    const job = new HandledJob();
    job.set({ case: "parameters", value: { parameters: { size: 2 } } });
    await job.settle("reject");
    // What the server does after a refusal.
    job.set({ case: "parameters", value: { parameters: { size: 0 } } });
    expect(job.called).toEqual(["parameters"]);
    expect(job.word("parameters")).toMatchObject([{ generation: 4n, outcome: LeverOutcome.APPLIED }]);
  });
});
