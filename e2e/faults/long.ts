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
}

const workers = 4;
/** Kills of one room: then what it stored is read and thrown away, so that no disk fills. */
const killsOfRoom = 25;
const hourMs = 3_600_000;

/** Plays the parts one after the other. `done` is called with each as soon as it is judged. Rejects if a room does not heal. */
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
    const { did, rooms } = partsOf(part, options, dice);
    say(`── ${part}: ${did}, ${linesPerSecond.toLocaleString("en")} lines a second`);
    const outcomes: Outcome[] = [];
    for (const [i, room] of rooms.entries()) {
      const rates = Array.from({ length: workers }, () => linesPerSecond / workers);
      const outcome = await play({ seed: seed + i, rates, healsWithinMs: 300_000, say, ...room });
      for (const verdict of outcome.verdicts) say(describeVerdict(verdict));
      outcomes.push(outcome);
    }
    isSound &&= outcomes.every(({ verdicts }) => verdicts.every(({ broken }) => broken.length === 0));
    await done({ part, did, seed, linesPerSecond, outcomes });
  }
  return isSound;
}

type Happening = Pick<Scenario, "rounds" | "clocks">;

function partsOf(part: PartName, options: LongOptions, dice: Dice): { did: string; rooms: readonly Happening[] } {
  const { serverKills, workerKills, stopSeconds, partitionSeconds } = options;
  switch (part) {
    case "kills": {
      const rounds = planKills(dice, { servers: serverKills, workers: workerKills, seats: workers });
      const rooms = [];
      for (let from = 0; from < rounds.length; from += killsOfRoom)
        rooms.push({ rounds: rounds.slice(from, from + killsOfRoom) });
      return { did: `kill -9 of the server ${serverKills} times and of workers ${workerKills} times`, rooms };
    }
    case "stops": {
      const rounds = stopSeconds.flatMap((seconds): Round[] => [
        { afterMs: 1000, faults: [{ kind: "stop server", forMs: seconds * 1000 }] },
        { afterMs: 1000, faults: [{ kind: "stop worker", seat: dice.roll(0, workers - 1), forMs: seconds * 1000 }] },
      ]);
      return { did: `SIGSTOP of server and worker for ${stopSeconds.join(", ")} s each`, rooms: [{ rounds }] };
    }
    case "partition": {
      const forMs = partitionSeconds * 1000;
      const rounds: Round[] = [
        { afterMs: 1000, faults: [{ kind: "network", seat: "all", behaviour: { mode: "stall" }, forMs }] },
      ];
      return { did: `nothing passes between workers and server for ${partitionSeconds} s`, rooms: [{ rounds }] };
    }
    case "clocks": {
      const jumps = [hourMs, -hourMs, 0];
      const rounds = jumps.flatMap((aheadMs): Round[] => [
        { afterMs: 2000, faults: [{ kind: "server clock", aheadMs }] },
        { afterMs: 2000, faults: [{ kind: "worker clock", seat: 0, aheadMs: -aheadMs }] },
        // A link that is made while clocks disagree.
        { afterMs: 1000, faults: [{ kind: "kill server" }] },
      ]);
      return {
        did: "the server's clock an hour ahead, an hour behind and right again, that of a worker the other way round",
        rooms: [{ rounds, clocks: true }],
      };
    }
  }
}
