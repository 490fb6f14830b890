import { Code, ConnectError, type Client } from "@connectrpc/connect";
import type { LiveService, StoreHealth, Subscription, WatchResponse } from "@signalbox/protocol";
import { backOffMs } from "./back-off.ts";

/** One thing that is followed. The link keeps its cursor. */
export interface Watched {
  /** Unique among what is followed at the same time. */
  readonly id: string;
  /** What to ask for; asked again for each stream, so that a start may depend on what is known. */
  kind(): Subscription["kind"];
  /** Takes one message in. The cursor advances right after it, unless it throws. */
  apply(message: WatchResponse["message"]): void;
}

/**
 * How the link is. `connecting`: nothing was heard yet. `live`: heard within the last 10 s. `away`: was lost at `sinceMs`; the next
 * try is at `nextTryMs`, or under way if that is undefined. `shut-out`: the session is not valid (any more). All times are
 * milliseconds since the Unix epoch on this machine's clock.
 */
export type LinkStatus =
  | { readonly state: "connecting"; readonly sinceMs: number }
  | { readonly state: "live" }
  | {
      readonly state: "away";
      readonly sinceMs: number;
      readonly nextTryMs: number | undefined;
      readonly reason: string;
    }
  | { readonly state: "shut-out" };

/** Without any word for so long, the page says 'not live' and opens another stream. The server speaks every 5 s. */
export const silenceMs = 10_000;

/**
 * A long list comes in many messages: the page paints after the first of them, and then after so much work without a break, milliseconds.
 */
const busyMs = 40;

/** Messages of which many can come one after the other, each with much to decode and to show. */
const isBulky = ({ message }: WatchResponse) =>
  message.case === "records" || message.case === "entries" || message.case === "vitals";

/** Resolves when the page has painted; at once where nothing is painted. */
function painted(): Promise<void> {
  if (typeof document === "undefined" || document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      clearTimeout(late);
      // A port that listens is kept for ever.
      port1.close();
      resolve();
    };
    // A tab that is hidden meanwhile gets no frame any more.
    const late = setTimeout(() => port2.postMessage(undefined), 250);
    requestAnimationFrame(() => port2.postMessage(undefined));
  });
}

/**
 * Holds the one `Watch` stream of this tab over a list of subscriptions. When the list changes, or the stream is lost or silent, the
 * old stream is aborted and another one goes on from the cursors that were reached. Messages of any stream but the newest are
 * ignored. Lives until `close`.
 */
export class WatchLink {
  readonly #client: Client<typeof LiveService>;
  readonly #random: () => number;
  readonly #entries = new Map<string, { readonly watched: Watched; cursor: Uint8Array; ended: boolean }>();
  readonly #listeners = new Set<() => void>();
  #status: LinkStatus = { state: "connecting", sinceMs: Date.now() };
  #heardMs = 0;
  #storeId: string | undefined;
  #clockAheadMs = 0;
  #store: StoreHealth | undefined;
  #stream: AbortController | undefined;
  #failures = 0;
  #reopening = false;
  #closed = false;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client<typeof LiveService>, random: () => number = Math.random) {
    this.#client = client;
    this.#random = random;
  }

  /** How the link is now. */
  get status(): LinkStatus {
    return this.#status;
  }

  /** When anything was heard last, 0 if never. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Add to this machine's clock to get the server's, milliseconds. */
  get clockAheadMs(): number {
    return this.#clockAheadMs;
  }

  /** Whether the server can store, as it said last; undefined: it has not said so. */
  get store(): StoreHealth | undefined {
    return this.#store;
  }

  /** Calls `listener` whenever the status or the clock changes and on each heartbeat. Returns what ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows `watched` from its start. Returns what ends that. Throws if its id is already followed. */
  follow(watched: Watched): () => void {
    if (this.#entries.has(watched.id)) throw new Error(`'${watched.id}' is already followed`);
    const entry = { watched, cursor: new Uint8Array(), ended: false };
    this.#entries.set(watched.id, entry);
    this.#reopenSoon();
    return () => {
      if (this.#entries.get(watched.id) !== entry) return;
      this.#entries.delete(watched.id);
      this.#reopenSoon();
    };
  }

  /** Opens another stream now instead of waiting for the next try. Does nothing while live. */
  tryNow(): void {
    if (this.#status.state === "away") this.#open();
  }

  /** Aborts the stream and ends all timers. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #reopenSoon(): void {
    if (this.#reopening || this.#closed) return;
    this.#reopening = true;
    // A page that follows several things at once opens one stream, not one for each.
    queueMicrotask(() => {
      this.#reopening = false;
      if (this.#closed || this.#status.state === "shut-out") return;
      if ([...this.#entries.values()].every((entry) => entry.ended)) this.#stop();
      else this.#open();
    });
  }

  #stop(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#retry);
    this.#stream?.abort();
    this.#stream = undefined;
  }

  #open(): void {
    this.#stop();
    const stream = new AbortController();
    this.#stream = stream;
    if (this.#status.state === "away") this.#become({ ...this.#status, nextTryMs: undefined });
    this.#listenForSilence();
    const subscriptions = [...this.#entries.values()]
      .filter((entry) => !entry.ended)
      .map(({ watched, cursor }) => ({ id: watched.id, cursor, kind: watched.kind() }));
    void this.#read(stream, subscriptions);
  }

  async #read(
    stream: AbortController,
    subscriptions: { id: string; cursor: Uint8Array; kind: Subscription["kind"] }[],
  ): Promise<void> {
    let reason = "the server ended the stream";
    try {
      let restedMs = 0;
      for await (const response of this.#client.watch({ subscriptions }, { signal: stream.signal })) {
        if (this.#stream !== stream) return;
        this.#take(response);
        if (isBulky(response) && performance.now() - restedMs > busyMs) {
          await painted();
          restedMs = performance.now();
        }
        if (this.#stream !== stream) return;
      }
    } catch (error) {
      // An aborted stream is one that we gave up ourselves.
      if (this.#stream !== stream) return;
      const refusal = ConnectError.from(error);
      if (refusal.code === Code.Unauthenticated) {
        this.#stop();
        this.#become({ state: "shut-out" });
        return;
      }
      if (refusal.code === Code.InvalidArgument)
        for (const entry of this.#entries.values()) entry.cursor = new Uint8Array();
      reason = refusal.rawMessage;
    }
    if (this.#stream === stream) this.#lose(reason);
  }

  #take(response: WatchResponse): void {
    this.#heardMs = Date.now();
    this.#failures = 0;
    this.#listenForSilence();
    if (this.#status.state !== "live") this.#become({ state: "live" });
    const { message } = response;
    if (message.case === "hello" || message.case === "heartbeat") {
      this.#clockAheadMs = Number(message.value.serverTimeUs) / 1000 - Date.now();
      this.#store = message.value.store;
      if (message.case === "hello") this.#meet(message.value.storeId);
      this.#tell();
      return;
    }
    const entry = this.#entries.get(response.subscriptionId);
    if (!entry) return;
    if (message.case === "reset") entry.cursor = new Uint8Array();
    if (message.case === "error") entry.ended = true;
    entry.watched.apply(message);
    if (response.cursor.length > 0) entry.cursor = response.cursor;
  }

  /** Cursors of another store are worthless: forget everything and start over. */
  #meet(storeId: string): void {
    const other = this.#storeId !== undefined && this.#storeId !== storeId;
    this.#storeId = storeId;
    if (!other) return;
    for (const entry of this.#entries.values()) {
      entry.cursor = new Uint8Array();
      entry.ended = false;
      entry.watched.apply({
        case: "reset",
        value: { $typeName: "signalbox.v1.Reset", reason: "the server has another store" },
      });
    }
    this.#reopenSoon();
  }

  #lose(reason: string): void {
    this.#stop();
    this.#failures++;
    const waitMs = backOffMs(this.#failures, this.#random());
    const sinceMs = this.#status.state === "away" ? this.#status.sinceMs : this.#heardMs || Date.now();
    this.#become({ state: "away", sinceMs, nextTryMs: Date.now() + waitMs, reason });
    this.#retry = setTimeout(() => this.#open(), waitMs);
  }

  #listenForSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lose(`no word for ${silenceMs / 1000} s`), silenceMs);
  }

  #become(status: LinkStatus): void {
    this.#status = status;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
