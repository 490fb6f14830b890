import type { LinkState } from "./link-state.ts";

/** Links that break again within this are not told one by one, milliseconds. */
const quietMs = 10_000;
/** While there is no link, a new reason is told after so long, milliseconds. */
const newReasonMs = 60_000;

/**
 * Says in one sentence when the link is lost, why, and when the next try is, and in another when it is back. A link that breaks again and
 * again is told only now and then, and one that stays away is told once for each reason.
 */
export class LinkWords {
  readonly #server: string;
  readonly #say: (sentence: string) => void;
  #toldAtMs = -Infinity;
  #toldReason: string | undefined;
  /** That the present link is away was told. */
  #isTold = false;
  #awaySinceMs: number | undefined;
  #untold = 0;

  /** `server`: what it is called before an address of it was reached. */
  constructor(server: string, say: (sentence: string) => void) {
    this.#server = server;
    this.#say = say;
  }

  /** The link stands so now; `address` is that of the newest link. Milliseconds of a clock that never goes back. */
  state(link: LinkState, address: string, nowMs: number): void {
    if (link.kind === "open") this.#open(address, nowMs);
    else if (link.kind === "backing-off") this.#away(link.reason, link.delayMs, address, nowMs);
  }

  #away(reason: string, delayMs: number, address: string, nowMs: number): void {
    if (this.#awaySinceMs === undefined) {
      this.#awaySinceMs = nowMs;
      this.#isTold = false;
    }
    const sinceToldMs = nowMs - this.#toldAtMs;
    const isDue = this.#isTold
      ? reason !== this.#toldReason && sinceToldMs >= newReasonMs
      : sinceToldMs >= quietMs || this.#toldReason === undefined;
    if (!isDue) return;
    const often = this.#untold > 0 ? ` (it broke ${this.#untold} more times since that was said last)` : "";
    const head = address ? `the link to ${address} is lost` : `no link to ${this.#server}`;
    this.#say(
      `${head}: ${reason.replace(/[.\s]+$/, "")}; the next try is ${soon(delayMs)}, and lines wait here${often}`,
    );
    this.#toldAtMs = nowMs;
    this.#toldReason = reason;
    this.#isTold = true;
    this.#untold = 0;
  }

  #open(address: string, nowMs: number): void {
    const awayMs = nowMs - (this.#awaySinceMs ?? nowMs);
    this.#awaySinceMs = undefined;
    if (this.#isTold) this.#say(`the link to ${address} is open after ${seconds(awayMs)}`);
    else if (awayMs > 0) this.#untold++;
    this.#isTold = false;
  }
}

function soon(ms: number): string {
  return ms < 100 ? "at once" : `in ${seconds(ms)}`;
}

function seconds(ms: number): string {
  return `${ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`;
}
