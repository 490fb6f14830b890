import { describeFault, type Fault } from "./fault.ts";
import { Dice, planKills, type Round } from "./plan.ts";
import { play, type Outcome, type Scenario } from "./scenario.ts";
import { describeVerdict } from "./verdict.ts";

/** What of the long form is played, and how much of it. */
export interface LongOptions {
  readonly parts: readonly PartName[];
  readonly serverKills: number;
  readonly workerKills: number;
  /** Lines a second of all workers together. */
  readonly linesPerSecond: number;
  /** SIGSTOP of either side, each for so many seconds. */
  readonly stopSeconds: readonly number[];
  readonly partitionSeconds: number;
}

/** The parts of the long form, each in rooms of its own. */
export const partNames = ["kills", "stops", "partition", "clocks"] as const;
export type PartName = (typeof partNames)[number];

/** As the long form is meant. */
export const wholeLong: LongOptions = {
  parts: partNames,
  serverKills: 200,
  workerKills: 50,
  linesPerSecond: 20_000,
  stopSeconds: [1, 20, 90],
  partitionSeconds: 600,
};

/** What came of one part. */
export interface PartResult {
  readonly part: PartName;
  /** What was done, for people. */
  readonly did: string;
  readonly seed: number;
  readonly linesPerSecond: number;
  readonly outcomes: readonly Outcome[];
  /** Rooms that did not come back by themselves, or could not be judged. */
  readonly failures: readonly string[];
}

const workers = 4;
/** Kills of one room: then what it stored is read and thrown away, so that no disk fills. */
const killsOfRoom = 25;
const hourMs = 3_600_000;

/**
 * Plays the parts one after the other. `done` is called after each room with what came of its part up to then. Resolves with whether every
 * promise was kept.
 */
export async function playLong(
  options: LongOptions,
  seed: number,
  say: (text: string) => void,
  done: (result: PartResult) => Promise<void>,
): Promise<boolean> {
  const { linesPerSecond } = options;
  const dice = new Dice(seed);
  let isSound = true;
  for (const part of options.parts) {
    const rooms = roomsOf(part, options, dice);
    const outcomes: Outcome[] = [];
    const failures: string[] = [];
    for (const [i, room] of rooms.entries()) {
      say(`── ${part}, room ${i + 1} of ${rooms.length}, ${linesPerSecond.toLocaleString("en")} lines a second`);
      const rates = Array.from({ length: workers }, () => linesPerSecond / workers);
      try {
        const outcome = await play({ seed: seed + i, rates, healsWithinMs: 300_000, say, ...room });
        for (const verdict of outcome.verdicts) say(describeVerdict(verdict));
        outcomes.push(outcome);
        isSound &&= outcome.verdicts.every(({ broken }) => broken.length === 0);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        say(`the room failed: ${failures.at(-1) ?? ""}`);
        isSound = false;
      }
      const did = describeFaults(rooms.slice(0, i + 1).flatMap(({ rounds }) => rounds));
      await done({ part, did, seed, linesPerSecond, outcomes, failures });
    }
  }
  return isSound;
}

type Happening = Pick<Scenario, "rounds" | "clocks">;

function roomsOf(part: PartName, options: LongOptions, dice: Dice): readonly Happening[] {
  const { serverKills, workerKills, stopSeconds, partitionSeconds } = options;
  switch (part) {
    case "kills": {
      const rounds = planKills(dice, { servers: serverKills, workers: workerKills, seats: workers });
      const rooms = [];
      for (let from = 0; from < rounds.length; from += killsOfRoom)
        rooms.push({ rounds: rounds.slice(from, from + killsOfRoom) });
      return rooms;
    }
    case "stops": {
      const rounds = stopSeconds.flatMap((seconds): Round[] => [
        { afterMs: 1000, faults: [{ kind: "stop server", forMs: seconds * 1000 }] },
        { afterMs: 1000, faults: [{ kind: "stop worker", seat: dice.roll(0, workers - 1), forMs: seconds * 1000 }] },
      ]);
      return [{ rounds }];
    }
    case "partition": {
      const forMs = partitionSeconds * 1000;
      const faults: Fault[] = [{ kind: "network", seat: "all", behaviour: { mode: "stall" }, forMs }];
      return [{ rounds: [{ afterMs: 1000, faults }] }];
    }
    case "clocks": {
      const rounds = [hourMs, -hourMs, 0].flatMap((aheadMs): Round[] => [
        { afterMs: 2000, faults: [{ kind: "server clock", aheadMs }] },
        { afterMs: 2000, faults: [{ kind: "worker clock", seat: 0, aheadMs: -aheadMs }] },
        // A link that is made while clocks disagree.
        { afterMs: 1000, faults: [{ kind: "kill server" }] },
      ]);
      return [{ rounds, clocks: true }];
    }
  }
}

/** What happened, for people: `the server is killed (8 times); worker 1 is killed`. */
function describeFaults(rounds: readonly Round[]): string {
  const times = new Map<string, number>();
  for (const fault of rounds.flatMap(({ faults }) => faults)) {
    // Of kills and cuts it does not matter to whom they happened, or where exactly.
    const what =
      fault.kind === "kill worker"
        ? "a worker is killed"
        : fault.kind === "network" && fault.behaviour.mode === "cut"
          ? "a worker's connections are cut midway"
          : describeFault(fault);
    times.set(what, (times.get(what) ?? 0) + 1);
  }
  return [...times].map(([what, count]) => (count > 1 ? `${what} (${count} times)` : what)).join("; ");
}
