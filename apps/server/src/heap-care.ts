import { performance, PerformanceObserver } from "node:perf_hooks";
import v8 from "node:v8";
import vm from "node:vm";

// Keeps the memory of this process near what it needs, with flags of V8 that are set while it runs.

/** What is young may take up so much, bytes. V8 itself lets it grow to 64 MB, which a server at rest then holds. */
const mostYoungBytes = 16 * 1024 * 1024;

/**
 * What comes together before old objects are collected, bytes, at least. V8 would begin when a small heap has grown by some megabytes, and counts
 * the bytes of buffers as such growth: a worker that floods then has everything collected eight times a second.
 */
const spareBytes = 64 * 1024 * 1024;

/** When a thread gives memory back. */
export interface Care {
  /**
   * What is looked at: the room that the heap takes, which a rush leaves behind, or the objects in it, dead ones included. A heap of which
   * pages are never quite empty keeps its room whatever is collected: by that it would have more garbage each time.
   */
  readonly of: "room" | "objects";
  /** How often is looked whether there is something to give back, milliseconds. */
  readonly everyMs: number;
  /** Nothing is given back while the loop was busy for more than this share of the time: collecting everything holds it up. */
  readonly busyShare: number;
  /** How much more than after the last time makes it worth while, bytes and share. */
  readonly worthBytes: number;
  readonly worthShare: number;
}

/** For the server's main thread, where collecting everything takes some 0.1 s. */
const mainCare: Care = { of: "room", everyMs: 5_000, busyShare: 0.2, worthBytes: 8e6, worthShare: 1.25 };

/** For a thread with a small heap, where it takes some milliseconds; by itself V8 lets garbage of an hour come together there. */
export const smallCare: Care = {
  of: "objects",
  everyMs: 10_000,
  busyShare: 1,
  worthBytes: 2e6,
  worthShare: 1,
};

/**
 * Keeps collections small or rare: young objects stay young, in a space that is bounded, and old ones are collected when it is worth it. For
 * the main thread; one a process.
 *
 * V8 makes room for a rush, such as a thousand workers that connect, and keeps the room: a server that then only hears heartbeats would hold
 * twice what it uses. And where most objects of a line of code outlive a rush it makes all later ones old from the start. Those of a line
 * that is being stored live for 20 ms; old ones are collected only with everything, which takes both cores of a small machine from the
 * server, and holds every acknowledgement up.
 */
export class Collections {
  readonly #seen: PerformanceObserver;
  #youngGrows = true;
  #growthPercent = 0;

  constructor() {
    v8.setFlagsFromString("--no-allocation-site-pretenuring");
    this.#boundOld();
    this.#seen = new PerformanceObserver(() => {
      this.#boundYoung();
      this.#boundOld();
    });
    this.#seen.observe({ entryTypes: ["gc"] });
  }

  close(): void {
    this.#seen.disconnect();
  }

  /** Lets the young space double until it has its bound; it shrinks by itself. What was reserved counts: it is touched later. */
  #boundYoung(): void {
    const young = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    const grows = (young?.space_size ?? 0) < mostYoungBytes;
    if (grows === this.#youngGrows) return;
    this.#youngGrows = grows;
    v8.setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`);
  }

  /** Lets a small heap grow by what is to spare, as V8 lets a large one by a share of it. Counts from the next collection of all on. */
  #boundOld(): void {
    const { used_heap_size: used } = v8.getHeapStatistics();
    // In steps: the figure holds young garbage, too.
    const percent = used < spareBytes ? Math.round(spareBytes / used) * 100 : 0;
    if (percent === this.#growthPercent) return;
    this.#growthPercent = percent;
    v8.setFlagsFromString(`--heap-growing-percent=${percent}`);
  }
}

/** Gives back what a rush has left in the heap of this thread, once it is over. */
export class HeapCare {
  readonly #care: Care;
  readonly #timer: NodeJS.Timeout;
  #collect: (() => void) | undefined;
  #before = performance.eventLoopUtilization();
  #keptBytes: number;

  constructor(care: Care = mainCare) {
    this.#care = care;
    this.#keptBytes = heldBytes(care);
    this.#timer = setInterval(() => this.#look(), care.everyMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { busyShare, worthBytes, worthShare } = this.#care;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#before);
    this.#before = now;
    const held = heldBytes(this.#care);
    this.#keptBytes = Math.min(this.#keptBytes, held);
    if (utilization > busyShare || held < this.#keptBytes * worthShare + worthBytes) return;
    this.#collect ??= collector();
    this.#collect();
    this.#keptBytes = heldBytes(this.#care);
  }
}

/** Collects everything. Only a new context has this function, and to make one takes a while: not at each start. */
function collector(): () => void {
  v8.setFlagsFromString("--expose-gc");
  return vm.runInNewContext("gc") as () => void;
}

/** What the heap takes up, and buffers outside of it. */
function heldBytes({ of }: Care): number {
  const { total_physical_size: room, used_heap_size: objects, external_memory: outside } = v8.getHeapStatistics();
  return (of === "room" ? room : objects) + outside;
}
