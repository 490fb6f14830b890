import { mix } from "./content.ts";
import type { Fault } from "./fault.ts";

/** Faults that happen at the same time, and how long the room runs in peace before them, milliseconds. */
export interface Round {
  readonly afterMs: number;
  readonly faults: readonly Fault[];
}

/** Random numbers that are the same for the same seed. */
export class Dice {
  readonly #seed: number;
  #rolls = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** A whole number from `least` to `most`, both included. */
  roll(least: number, most: number): number {
    return least + (mix(this.#seed, ++this.#rolls) % (most - least + 1));
  }

  shuffle<T>(things: readonly T[]): T[] {
    const shuffled = [...things];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const other = this.roll(0, i);
      [shuffled[i], shuffled[other]] = [shuffled[other] as T, shuffled[i] as T];
    }
    return shuffled;
  }
}

/**
 * Kills of the server and of workers in random order, at random moments. Meanwhile connections of some worker are cut in the middle
 * of what it sends. Every other worker or so is killed with lines that nobody else has.
 */
export function planKills(dice: Dice, kills: { servers: number; workers: number; seats: number }): Round[] {
  const kinds = dice.shuffle([
    ...Array.from({ length: kills.servers }, () => "kill server" as const),
    ...Array.from({ length: kills.workers }, () => "kill worker" as const),
  ]);
  return kinds.map((kind): Round => {
    const seat = dice.roll(0, kills.seats - 1);
    const behaviour = { mode: "cut", afterBytes: dice.roll(1, 100_000) } as const;
    const cut: Fault = { kind: "network", seat: dice.roll(0, kills.seats - 1), behaviour, forMs: dice.roll(50, 500) };
    return {
      afterMs: dice.roll(50, 1200),
      faults: [
        cut,
        kind === "kill server" ? { kind } : { kind, seat, stalledMs: dice.roll(0, 1) * dice.roll(200, 2000) },
      ],
    };
  });
}

/**
 * What networks do, at the same time: acknowledgements are lost alone, a connection is half-open, one
 * stalls, and readers get less than is printed.
 */
export function planNetwork(dice: Dice): Round[] {
  const [one = 0, other = 1, third = 2] = dice.shuffle([0, 1, 2]);
  return [
    {
      afterMs: 500,
      faults: [
        { kind: "network", seat: one, behaviour: { mode: "one-way", lost: "to-client" }, forMs: 15_000 },
        // Dead are the connections of that moment; new ones pass as soon as the worker makes them.
        { kind: "network", seat: other, behaviour: { mode: "half-open" }, forMs: 100 },
        { kind: "network", seat: third, behaviour: { mode: "stall" }, forMs: dice.roll(3000, 6000) },
        { kind: "network", seat: "readers", behaviour: { mode: "throttle", bytesPerSecond: 50_000 }, forMs: 10_000 },
      ],
    },
  ];
}
