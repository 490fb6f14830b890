import { create } from "@bufbuild/protobuf";
import {
  JobSpecSchema,
  Level,
  LeverOutcome,
  LeverSettingSchema,
  RunMode,
  type JobSpec,
  type LeverReport,
  type LeverSetting,
} from "@signalbox/protocol";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { Levers, type LeverName } from "./levers.ts";
import type { LeverInit } from "./server-for-tests.ts";

let nowMs: number;
let line: number;
let events: string[];

beforeEach(() => {
  nowMs = 0;
  line = 1;
  events = [];
});

function levers(offered: LeverName[] = ["run", "speed", "log_level"]): Levers {
  return new Levers(
    { type: "test", offered },
    {
      speed: (speed) => events.push(`speed ${speed}`),
      logLevel: (level) => events.push(`level ${level}`),
      run: () => events.push("run"),
      cancel: (graceMs, reason) => events.push(`cancel ${graceMs} ${reason}`),
      mark: () => line,
    },
    { wallUs: () => nowMs * 1000, monotonicMs: () => nowMs },
  );
}

function setting(generation: number, value: LeverInit, hold?: { durationMs: bigint; then: LeverInit }): LeverSetting {
  return create(LeverSettingSchema, {
    generation: BigInt(generation),
    value: { value },
    ...(hold ? { hold: { durationMs: hold.durationMs, then: { value: hold.then } } } : {}),
  });
}

function spec(...settings: LeverSetting[]): JobSpec {
  const newest = settings.reduce((max, { generation }) => (generation > max ? generation : max), 0n);
  return create(JobSpecSchema, { generation: newest, levers: settings });
}

function run(mode: RunMode, graceMs = 0, reason = ""): LeverInit {
  return { case: "run", value: { mode, graceMs, reason } };
}

const speed = (itemsPerSecond?: number): LeverInit => ({
  case: "speed",
  value: itemsPerSecond === undefined ? {} : { itemsPerSecond },
});
const running = setting(1, run(RunMode.RUN));

/** Reports in words: lever, generation, outcome. */
function words(reports: readonly LeverReport[]): string[] {
  const outcomes = ["seen", "applied", "rejected", "reverted"];
  return reports.map(({ value, generation, outcome, reason }) =>
    `${value?.value.case} ${generation} ${outcomes[outcome]} ${reason}`.trim(),
  );
}

describe("the levers of an attempt", () => {
  test("take effect when they can, and say before which line", () => {
    const all = levers();
    line = 7;
    all.receive(spec(running, setting(2, { case: "parameters", value: {} }), setting(3, speed(5))));
    expect(all.receivedGeneration).toBe(3n);
    expect(words(all.reports())).toEqual(["run 1 applied", "parameters 2 applied", "speed 3 applied"]);
    expect(all.reports().every(({ atLine }) => atLine === 7n)).toBe(true);
    expect(events).toContain("speed 5");
  });

  test("a pause is received at once and applied when the job stands; run is applied when it goes on", () => {
    const all = levers();
    all.receive(spec(running));
    all.receive(spec(setting(2, run(RunMode.PAUSE))));
    expect(all.receivedGeneration).toBe(2n);
    expect(all.run.shallStand).toBe(true);
    expect(words(all.reports())).toEqual(["run 1 applied"]);
    line = 9;
    all.run.stand();
    expect(words(all.reports())).toEqual(["run 2 applied"]);
    expect(all.reports()[0]?.atLine).toBe(9n);
    all.receive(spec(setting(3, run(RunMode.RUN))));
    expect(all.run.shallStand).toBe(false);
    expect(words(all.reports())).toEqual(["run 2 applied"]);
    all.run.goOn();
    expect(words(all.reports())).toEqual(["run 3 applied"]);
  });

  test("a pause that is taken back before the job stands never takes effect", () => {
    const all = levers();
    all.receive(spec(running));
    all.receive(spec(setting(2, run(RunMode.PAUSE))));
    all.receive(spec(setting(3, run(RunMode.RUN))));
    expect(all.run.shallStand).toBe(false);
    expect(words(all.reports())).toEqual(["run 3 applied"]);
  });

  test("run and pause again while the job stands leave it standing under the newest generation", () => {
    const all = levers();
    all.receive(spec(setting(1, run(RunMode.PAUSE))));
    all.run.stand();
    all.receive(spec(setting(2, run(RunMode.RUN))));
    all.receive(spec(setting(3, run(RunMode.PAUSE))));
    expect(all.run.shallStand).toBe(true);
    all.run.stand();
    expect(words(all.reports())).toEqual(["run 3 applied"]);
    all.receive(spec(setting(4, run(RunMode.PAUSE))));
    all.run.stand();
    expect(words(all.reports())).toEqual(["run 4 applied"]);
  });

  test("that the type does not have are rejected with the reason, and the value in effect is stated with it", () => {
    const all = levers([]);
    all.receive(spec(running, setting(2, { case: "parameters", value: { parameters: { a: 1 } } })));
    all.receive(
      spec(
        setting(3, run(RunMode.PAUSE)),
        setting(4, speed(5)),
        setting(5, { case: "logLevel", value: { level: Level.WARN } }),
        setting(6, { case: "parameters", value: { parameters: { a: 2 } } }),
        setting(7, { case: "priority", value: { priority: 5 } }),
      ),
    );
    expect(words(all.reports())).toEqual([
      "run 1 applied",
      "run 3 rejected jobs of type test cannot be paused",
      "parameters 2 applied",
      "parameters 6 rejected the parameters of a running job of type test cannot be changed",
      "speed 4 rejected jobs of type test have no speed lever",
      "logLevel 5 rejected jobs of type test have no log level lever",
    ]);
    expect(events).toEqual(["run"]);
    all.receive(spec(setting(8, run(RunMode.RUN))));
    expect(words(all.reports())[0]).toBe("run 8 applied");
    expect(words(all.reports())[1]).toBe("parameters 2 applied");
  });

  test("a speed of 0 or less, one so slow that nothing more would come, or none that is a number, is rejected", () => {
    const all = levers();
    all.receive(spec(running, setting(2, speed(10))));
    for (const [i, wrong] of [0, -1, 1e-300, 0.000009, NaN, Infinity].entries()) {
      all.receive(spec(setting(3 + i, speed(wrong))));
      expect(all.reports().at(-1)?.outcome).toBe(LeverOutcome.REJECTED);
    }
    all.receive(spec(setting(9, speed(0.00001))));
    all.receive(spec(setting(10, speed())));
    expect(words(all.reports()).at(-1)).toBe("speed 10 applied");
    expect(events.filter((event) => event.startsWith("speed"))).toEqual([
      "speed 10",
      "speed 0.00001",
      "speed undefined",
    ]);
  });

  test("cancel latches: run and pause are refused, and another cancel can only shorten the grace", () => {
    const all = levers();
    all.receive(spec(running));
    all.receive(spec(setting(2, run(RunMode.CANCEL, 5000, "enough"))));
    expect(all.run.isCancelled).toBe(true);
    expect(words(all.reports())).toEqual(["run 1 applied"]);
    all.receive(spec(setting(3, run(RunMode.PAUSE))));
    expect(words(all.reports())).toEqual(["run 2 applied", "run 3 rejected cancelling"]);
    expect(all.run.shallStand).toBe(false);
    all.receive(spec(setting(4, run(RunMode.CANCEL, 9000, "later"))));
    expect(words(all.reports())).toEqual(["run 2 applied", "run 4 rejected cancelling"]);
    all.receive(spec(setting(5, run(RunMode.CANCEL, 100, "sooner"))));
    expect(words(all.reports())).toEqual(["run 5 applied"]);
    expect(events.filter((event) => event.startsWith("cancel"))).toEqual(["cancel 5000 enough", "cancel 100 sooner"]);
  });

  test("a cancel with more grace than the one that stands is refused, and the server's putting it back changes nothing", () => {
    const all = levers();
    all.receive(spec(running));
    all.receive(spec(setting(2, run(RunMode.CANCEL, 6000, "enough"))));
    nowMs = 1000;
    all.receive(spec(setting(3, run(RunMode.CANCEL, 30_000, "later"))));
    expect(words(all.reports())).toEqual(["run 2 applied", "run 3 rejected cancelling"]);
    all.receive(spec(setting(4, run(RunMode.CANCEL, 6000, "enough"))));
    expect(words(all.reports())).toEqual(["run 4 applied"]);
    expect(events.filter((event) => event.startsWith("cancel"))).toEqual(["cancel 6000 enough"]);
    expect(all.run.cancel).toMatchObject({ graceMs: 5000 });
  });

  test("a cancel takes effect when the attempt ends by it, at the line where the job was told", () => {
    const all = levers();
    all.receive(spec(running));
    line = 20;
    all.receive(spec(setting(2, run(RunMode.CANCEL, 5000))));
    line = 30;
    all.run.cancelTookEffect();
    expect(words(all.reports())).toEqual(["run 2 applied"]);
    expect(all.reports()[0]?.atLine).toBe(20n);
  });

  test("a held value holds from when it is applied, and is put back at its end", () => {
    const all = levers();
    all.receive(spec(running, setting(2, speed(5))));
    const held = spec(setting(3, speed(50), { durationMs: 1000n, then: speed(5) }));
    all.receive(held);
    expect(all.nextHoldEndMs).toBe(1000);
    nowMs = 600;
    all.receive(held);
    all.endHolds();
    expect(words(all.reports())).toEqual(["run 1 applied", "speed 3 applied"]);
    nowMs = 1000;
    all.endHolds();
    expect(words(all.reports())).toEqual(["run 1 applied", "speed 3 reverted"]);
    expect(all.nextHoldEndMs).toBeUndefined();
    expect(events.at(-1)).toBe("speed 5");
    all.receive(spec(setting(4, speed(5))));
    expect(words(all.reports())).toEqual(["run 1 applied", "speed 4 applied"]);
  });

  test("a held pause ends by the job going on", () => {
    const all = levers();
    all.receive(spec(running));
    all.receive(spec(setting(2, run(RunMode.PAUSE), { durationMs: 1000n, then: run(RunMode.RUN) })));
    nowMs = 500;
    all.run.stand();
    expect(all.nextHoldEndMs).toBe(1500);
    nowMs = 1500;
    all.endHolds();
    expect(all.run.shallStand).toBe(false);
    all.run.goOn();
    expect(words(all.reports())).toEqual(["run 2 reverted"]);
  });

  test("whatever is delivered, in whatever order and however often, the newest generation of each lever decides", () => {
    const value: fc.Arbitrary<LeverInit> = fc.oneof(
      fc.constantFrom(run(RunMode.RUN), run(RunMode.PAUSE), run(RunMode.CANCEL, 1000)),
      fc.constantFrom(1, 0, 20).map((each) => speed(each)),
      fc
        .constantFrom(Level.UNSPECIFIED, Level.DEBUG, Level.ERROR)
        .map((level): LeverInit => ({ case: "logLevel", value: { level } })),
    );
    const step = fc.oneof(
      fc.record({ kind: fc.constant("deliver" as const), upTo: fc.nat(20) }),
      fc.constant({ kind: "safePoint" as const }),
    );
    fc.assert(
      fc.property(fc.array(value, { maxLength: 12 }), fc.array(step, { maxLength: 30 }), (values, steps) => {
        const all = levers();
        const history = [running, ...values.map((each, i) => setting(i + 2, each))];
        /** The spec as it was after the first `count` commands. */
        const specAfter = (count: number) => {
          const newest = new Map(history.slice(0, count).map((each) => [each.value?.value.case, each]));
          return spec(...newest.values());
        };
        const before = new Map<string, bigint>();
        const safePoint = () => {
          if (all.run.shallStand) all.run.stand();
          else if (all.run.isStanding) all.run.goOn();
        };
        let delivered = 0;
        for (const each of [...steps, { kind: "deliver" as const, upTo: history.length }]) {
          if (each.kind === "safePoint") safePoint();
          else {
            const upTo = Math.min(each.upTo, history.length);
            all.receive(specAfter(upTo));
            delivered = Math.max(delivered, upTo);
          }
          expect(all.receivedGeneration).toBe(BigInt(delivered));
          for (const { value: reported, generation, outcome } of all.reports()) {
            const lever = reported?.value.case ?? "";
            if (outcome === LeverOutcome.APPLIED) {
              expect(generation >= (before.get(lever) ?? 0n)).toBe(true);
              before.set(lever, generation);
            }
          }
        }
        safePoint();
        safePoint();
        // Every lever has the last word on its newest generation, unless a cancel still waits for the end.
        for (const { generation, value: wanted } of specAfter(history.length).levers) {
          const word = all.reports().findLast(({ value: reported }) => reported?.value.case === wanted?.value.case);
          if (wanted?.value.case === "run" && all.run.isCancelled && word?.generation !== generation) {
            all.run.cancelTookEffect();
            expect(all.reports()[0]?.value?.value.value).toMatchObject({ mode: RunMode.CANCEL });
          } else expect(word?.generation).toBe(generation);
        }
      }),
    );
  });
});
