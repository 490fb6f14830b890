import type { Client } from "@connectrpc/connect";
import type { LogService } from "@signalbox/protocol";
import { backOffMs } from "../../live/back-off.ts";
import { readHistogram, type Histogram } from "./histogram.ts";

/** At most so often is the server asked, milliseconds. */
const everyMs = 1_000;

/**
 * The histogram of one attempt. Asked for again only when the log has grown, and while the reader reads, once it is complete, not at
 * all: what is looked at holds still. Ended by `close`.
 */
export class HistogramFeed {
  #histogram = $state.raw<Histogram | undefined>(undefined);
  readonly #client: Client<typeof LogService>;
  readonly #jobId: string;
  readonly #attempt: number;
  readonly #stop = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #mostBuckets: number;
  #endLine = 1;
  #follows = true;
  #asking = false;
  #wasComplete = false;
  #failures = 0;
  #notBeforeMs = 0;

  /** `mostBuckets` is what it asks for until {@link want} says otherwise. */
  constructor(client: Client<typeof LogService>, jobId: string, attempt: number, mostBuckets = 240) {
    this.#mostBuckets = mostBuckets;
    this.#client = client;
    this.#jobId = jobId;
    this.#attempt = attempt;
    this.#timer = setInterval(() => void this.#look(), everyMs);
    void this.#look();
  }

  /** The newest answer; undefined until there is one. */
  get histogram(): Histogram | undefined {
    return this.#histogram;
  }

  /** Says how far the log goes, whether its end is followed, and how many bars there is room for. */
  want(endLine: number, follows: boolean, mostBuckets: number): void {
    this.#endLine = endLine;
    this.#follows = follows;
    this.#mostBuckets = mostBuckets;
  }

  /** Stops asking. */
  close(): void {
    clearInterval(this.#timer);
    this.#stop.abort();
  }

  get #holdsStill(): boolean {
    return this.#wasComplete && !this.#follows;
  }

  async #look(): Promise<void> {
    const known = this.#histogram;
    const complete = known !== undefined && known.endLine >= this.#endLine;
    const endLine = this.#endLine;
    if (this.#asking || document.hidden || complete || performance.now() < this.#notBeforeMs) return;
    if (this.#holdsStill) return;
    this.#asking = true;
    try {
      const response = await this.#client.getHistogram(
        { jobId: this.#jobId, attempt: this.#attempt, mostBuckets: this.#mostBuckets },
        { signal: this.#stop.signal },
      );
      this.#failures = 0;
      if (this.#holdsStill) return;
      this.#histogram = readHistogram(response);
      // A log that grows is always a little ahead of what was counted.
      this.#wasComplete ||= endLine > 1 && this.#histogram.endLine >= endLine;
    } catch {
      // The log above says what is wrong with the link; the strip keeps what it shows.
      this.#failures++;
      this.#notBeforeMs = performance.now() + backOffMs(this.#failures, Math.random());
    } finally {
      this.#asking = false;
    }
  }
}
