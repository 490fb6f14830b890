import type { Hello } from "@signalbox/protocol";
import { Bell } from "./bell.ts";
import { systemClock } from "./clock.ts";
import type { ConnectConfig } from "./config.ts";
import { Connection, type ConnectionHandlers, type LinkEnd } from "./connection.ts";
import { Dialer, type Dialed } from "./dial.ts";
import { messageOf } from "./errors.ts";
import { initialState, linkOf, LONGEST_DELAY_MS, nextState, type WorkerEvent, type WorkerState } from "./link-state.ts";
import { LinkWords } from "./link-words.ts";
import type { Outbox } from "./outbox.ts";

/** A server that does not hang up when everything is said is not waited for any longer, milliseconds. */
const leaveWithinMs = 1000;
const longestReason = 200;

/** What links need from their worker. */
export interface LinkHost {
  readonly outbox: Outbox;
  /** Says everything; what waited to be said is said by it. */
  hello(): Hello;
  readonly handlers: ConnectionHandlers;
  /** Another process has taken the worker's name: no other link is made. */
  replaced(reason: string): void;
}

export interface LinkOptions {
  readonly silenceMs?: number;
  readonly longestBackOffMs?: number;
  readonly onState?: (state: WorkerState) => void;
  /** Called with a sentence when the link is lost or back. */
  readonly onLink: (sentence: string) => void;
}

/** Keeps a worker linked to its server: connects, and connects again with back-off, until it is closed. */
export class LinkKeeper {
  readonly #config: ConnectConfig;
  readonly #options: LinkOptions;
  readonly #host: LinkHost;
  readonly #dialer: Dialer;
  readonly #words: LinkWords;
  readonly #closing = new AbortController();
  #state: WorkerState = initialState;
  #connection: Connection | undefined;
  #address = "";
  #reconnects = 0;
  #lastBreak = "";

  constructor(config: ConnectConfig, options: LinkOptions, host: LinkHost) {
    this.#config = config;
    this.#options = options;
    this.#host = host;
    this.#dialer = new Dialer(config.urls);
    this.#words = new LinkWords(config.urls.join(" or "), options.onLink);
  }

  get state(): WorkerState {
    return this.#state;
  }

  /** The connection that is there, welcome or not. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** The connection over which the server has said welcome. */
  get open(): Connection | undefined {
    return linkOf(this.#state)?.kind === "open" ? this.#connection : undefined;
  }

  /** How often there was a link that was lost, why the newest of them was, and which address the present one goes to. */
  get history(): { reconnects: number; lastBreak: string; address: string } {
    return { reconnects: this.#reconnects, lastBreak: this.#lastBreak, address: this.#address };
  }

  /** Connects, again and again. Resolves when it is closed, or the name is taken. */
  async run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const { reason, replaced, wasOpen } = await this.#connectOnce();
      if (signal.aborted) break;
      if (replaced) {
        // To take the name back would only make the other one lose its jobs, and so on for ever.
        this.drain(reason);
        this.#host.replaced(reason);
        break;
      }
      if (wasOpen) {
        this.#reconnects++;
        this.#lastBreak = reason.slice(0, longestReason).toWellFormed();
      }
      const { longestBackOffMs: longestDelayMs = LONGEST_DELAY_MS } = this.#options;
      this.#move({ kind: "lost", atMs: systemClock.monotonicMs(), reason, random: Math.random(), longestDelayMs });
      const after = linkOf(this.#state);
      if (after?.kind === "backing-off") await new Bell().wait({ ms: after.delayMs, signal });
      this.#move({ kind: "retry" });
    }
    this.#move({ kind: "closed" });
  }

  /** The server has said welcome on `connection`. */
  welcomed(connection: Connection): void {
    this.#address = connection.address;
    this.#move({ kind: "welcomed", atMs: systemClock.monotonicMs() });
  }

  /** The worker stops; the link stays until it is closed. */
  drain(reason: string): void {
    this.#move({ kind: "stop", reason });
  }

  /** Says what is left to say, and ends the link for good. `run` resolves soon. */
  async close(): Promise<void> {
    this.#closing.abort();
    // It has to be heard that the worker leaves: else it is taken for lost, after a while.
    await this.#connection?.finish(this.#host.outbox, leaveWithinMs);
    this.#connection?.close("the worker has stopped");
  }

  async #connectOnce(): Promise<LinkEnd> {
    const { signal } = this.#closing;
    let dialed: Dialed | undefined;
    try {
      const token = await this.#config.readToken();
      dialed = await this.#dialer.dial(signal, this.#config.findUrls());
      const { silenceMs } = this.#options;
      const connection = new Connection({ dialed, token, ...(silenceMs === undefined ? {} : { silenceMs }) });
      this.#connection = connection;
      const end = await connection.run(this.#host.hello(), this.#host.outbox, this.#host.handlers);
      if (!end.wasOpen) this.#dialer.failed(dialed);
      const reason = end.isRefused
        ? `the server does not accept the token from ${this.#config.tokenFrom}: give the right one`
        : end.reason;
      return { ...end, reason: end.wasOpen ? reason : this.#whereToo(reason, dialed) };
    } catch (error) {
      dialed?.socket.destroy();
      return { reason: messageOf(error), replaced: false, isRefused: false, wasOpen: false };
    } finally {
      this.#connection = undefined;
    }
  }

  /** Why an address was no good, and which one it was if there are others: what is told names all of them. */
  #whereToo(reason: string, { address }: Dialed): string {
    const isOnly = this.#config.urls.length === 1 && !address.includes(" ");
    return isOnly ? reason : `${address}: ${reason}`;
  }

  #move(event: WorkerEvent): void {
    const before = this.#state;
    this.#state = nextState(before, event);
    if (this.#state === before) return;
    const link = linkOf(this.#state);
    // A link that ends because the worker stops is no loss.
    if (link && event.kind !== "stop") this.#words.state(link, this.#address, systemClock.monotonicMs());
    this.#options.onState?.(this.#state);
  }
}
