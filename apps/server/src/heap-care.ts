import { performance, PerformanceObserver } from "node:perf_hooks";
import v8 from "node:v8";
import vm from "node:vm";

/** What is young may take up so much, bytes. V8 itself lets it grow to 64 MB, which a server at rest then holds. */
const mostYoungBytes = 16 * 1024 * 1024;
/** How often is looked whether there is something to give back, milliseconds. */
const lookEveryMs = 5_000;
/** Nothing is given back while the loop was busy for more than this share of the time: collecting everything holds it up for some 0.1 s. */
const busyShare = 0.2;
/** How much more than after the last time makes it worth while, bytes and share. */
const worthBytes = 8e6;
const worthShare = 1.25;

/**
 * Keeps the memory of this process near what it needs. V8 makes room for a rush, such as a thousand workers that connect, and keeps the
 * room: a server that then only hears heartbeats would hold twice what it uses. Uses flags of V8 that are set while it runs.
 */
export class HeapCare {
  readonly #collections: PerformanceObserver;
  readonly #timer: NodeJS.Timeout;
  readonly #collect: () => void;
  #grows = true;
  #before = performance.eventLoopUtilization();
  #keptBytes = heldBytes();

  constructor({ everyMs = lookEveryMs }: { readonly everyMs?: number } = {}) {
    v8.setFlagsFromString("--expose-gc");
    this.#collect = vm.runInNewContext("gc") as () => void;
    this.#collections = new PerformanceObserver(() => this.#bound());
    this.#collections.observe({ entryTypes: ["gc"] });
    this.#timer = setInterval(() => this.#look(), everyMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#collections.disconnect();
  }

  /** Lets the young space double until it has its bound; it shrinks by itself. What was reserved counts: it is touched later. */
  #bound(): void {
    const young = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    const grows = (young?.space_size ?? 0) < mostYoungBytes;
    if (grows === this.#grows) return;
    this.#grows = grows;
    v8.setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`);
  }

  /** Gives back what a rush has left, once it is over. */
  #look(): void {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#before);
    this.#before = now;
    const held = heldBytes();
    this.#keptBytes = Math.min(this.#keptBytes, held);
    if (utilization > busyShare || held < this.#keptBytes * worthShare + worthBytes) return;
    this.#collect();
    this.#keptBytes = heldBytes();
  }
}

/** What the heap takes up, and buffers outside of it. */
function heldBytes(): number {
  return v8.getHeapStatistics().total_physical_size + process.memoryUsage().external;
}
