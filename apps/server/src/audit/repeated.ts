import type { Actor } from "@signalbox/protocol";

/** What is like another within this is counted, not stored, microseconds. */
const windowUs = 60_000_000;
/** Different things that are told apart in a window; the rest counts as one. */
const mostTold = 200;

/** Something that may come many times over. */
export interface Repeatable {
  readonly actor: Actor;
  /** Things with the same key are alike, if they are of the same actor. */
  readonly key: string;
  /** Stores it, with how many more like it there were. */
  readonly store: (repeated: number) => void;
}

interface Window {
  readonly endsAt: number;
  /** What came after the first. */
  count: number;
  newest: Repeatable;
}

/**
 * Keeps a flood from the disk: the first of its kind is stored at once, those like it within the minute after are counted, and their newest
 * is stored with that number when the minute is over. `other` makes what stands for all that are too many to be told apart.
 */
export class Repeated {
  readonly #other: (of: Repeatable) => Repeatable;
  readonly #windows = new Map<string, Window>();

  constructor(other: (of: Repeatable) => Repeatable) {
    this.#other = other;
  }

  /** Takes one in. `now` is server clock, microseconds. */
  add(one: Repeatable, now: number): void {
    const key = keyOf(one);
    const window = this.#windows.get(key);
    if (window && now < window.endsAt) {
      window.count++;
      window.newest = one;
      return;
    }
    if (window) this.#end(key, window);
    else if (this.#windows.size >= mostTold) {
      const other = this.#other(one);
      if (keyOf(other) !== key) {
        this.add(other, now);
        return;
      }
    }
    this.#windows.set(key, { endsAt: now + windowUs, count: 0, newest: one });
    one.store(0);
  }

  /** Stores what was counted in windows that are over at `now`. */
  look(now: number): void {
    for (const [key, window] of this.#windows) if (now >= window.endsAt) this.#end(key, window);
  }

  #end(key: string, { count, newest }: Window): void {
    this.#windows.delete(key);
    if (count > 0) newest.store(count - 1);
  }
}

function keyOf({ actor, key }: Repeatable): string {
  return `${actor.kind} ${actor.name} ${actor.address} ${key}`;
}
