import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ConnectRequestSchema,
  JobService,
  WorkerService,
  type ConnectRequest,
  type ConnectResponse,
  type Hello,
  type Welcome,
} from "@signalbox/protocol";
import { Bell } from "./bell.ts";
import type { Dialed } from "./dial.ts";
import { Http2Link } from "./http2-link.ts";
import type { HeartbeatFigures, Outbox } from "./outbox.ts";
import { Silence } from "./silence.ts";
import { Wire } from "./wire.ts";

/** A server that says nothing for so long is not there, milliseconds. */
export const SILENCE_MS = 10_000;
/** Only small messages come down; the server opens its own window for what goes up. */
const windowBytes = 1024 * 1024;
const largestMessage = 1024 * 1024;

/** What a link does with what it hears. */
export interface ConnectionHandlers {
  welcomed(welcome: Welcome, connection: Connection): void;
  received(message: Exclude<ConnectResponse["message"], { case: "welcome" | "heartbeat" | undefined }>): void;
  /** The server has said something. */
  heard(): void;
  /** For heartbeats. */
  now(): HeartbeatFigures;
}

/** How a link ended. */
export interface LinkEnd {
  readonly reason: string;
  /** The server had said welcome. */
  readonly wasOpen: boolean;
  /** Another process has taken the worker's name. */
  readonly replaced: boolean;
  /** The server does not accept the token. */
  readonly isRefused: boolean;
}

/** One link to the server: an HTTP/2 session over a connection of its own, the Connect stream on it, and room for PushLogs streams. Used once. */
export class Connection {
  readonly client: Client<typeof WorkerService>;
  /** For what a worker asks as any program may. */
  readonly jobs: Client<typeof JobService>;
  /** Where it goes, for people. */
  readonly address: string;
  /** What its streams of lines may have on the wire. */
  readonly wire = new Wire();
  readonly #session: Http2Link;
  readonly #controller = new AbortController();
  readonly #silenceMs: number;
  /** Rings when the server has said welcome. */
  readonly #welcomed = new Bell();
  #isWelcome = false;
  #isLast = false;
  #reason: string | undefined;

  constructor({ dialed, token, silenceMs = SILENCE_MS }: { dialed: Dialed; token: string; silenceMs?: number }) {
    this.#silenceMs = silenceMs;
    this.address = dialed.address;
    this.#session = new Http2Link(dialed, { windowBytes, onDead: (reason) => this.close(reason) });
    const transport = createGrpcTransport({
      baseUrl: dialed.url,
      sessionManager: this.#session,
      acceptCompression: [],
      readMaxBytes: largestMessage,
      writeMaxBytes: largestMessage,
      interceptors: [
        (next) => (request) => {
          request.header.set("authorization", `Bearer ${token}`);
          return next(request);
        },
      ],
    });
    this.client = createClient(WorkerService, transport);
    this.jobs = createClient(JobService, transport);
  }

  /** Aborts when the link ends. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the link; `run` resolves with this reason. */
  close(reason: string): void {
    this.#reason ??= reason;
    this.#controller.abort();
  }

  /**
   * Says what `outbox` still holds, and that nothing follows, so that the server hangs up. Resolves when it has, or after `ms`, or at once
   * if it has not even said welcome.
   */
  async finish(outbox: Outbox, ms: number): Promise<void> {
    const { signal } = this;
    if (!this.#isWelcome || signal.aborted) return;
    this.#isLast = true;
    outbox.filled.ring();
    await new Bell().wait({ ms, signal });
  }

  /** Says hello, then carries messages both ways until the link ends. Never rejects. */
  async run(hello: Hello, outbox: Outbox, handlers: ConnectionHandlers): Promise<LinkEnd> {
    const { signal } = this.#controller;
    let replaced = false;
    let isRefused = false;
    let heartbeat: NodeJS.Timeout | undefined;
    const silence = new Silence(this.#silenceMs, () =>
      this.close(`no word from the server for ${this.#silenceMs / 1000} s`),
    );
    try {
      for await (const { message } of this.client.connect(this.#requests(hello, outbox, handlers), { signal })) {
        silence.broken();
        handlers.heard();
        if (message.case === "welcome") {
          this.#isWelcome = true;
          heartbeat ??= setInterval(() => outbox.heartbeat(0n), Math.max(100, message.value.heartbeatMs || 5000));
          handlers.welcomed(message.value, this);
          this.#welcomed.ring();
        } else if (message.case === "heartbeat") {
          outbox.heartbeat(message.value.serverTimeUs);
        } else if (message.case !== undefined) {
          handlers.received(message);
        }
      }
      this.#reason ??= "the server has hung up";
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      isRefused = this.#reason === undefined && code === Code.Unauthenticated;
      replaced = this.#reason === undefined && this.#isWelcome && code === Code.FailedPrecondition;
      // What Node says of a peer that answers in HTTP/1.1.
      this.#reason ??= /^Protocol error$/i.test(rawMessage)
        ? "it does not speak gRPC: workers connect to another port than browsers (9090 unless it was set)"
        : rawMessage || `it ended the stream with ${Code[code]}`;
    } finally {
      silence.stop();
      clearInterval(heartbeat);
      this.#controller.abort();
      this.#session.abort();
    }
    return { reason: this.#reason, replaced, isRefused, wasOpen: this.#isWelcome };
  }

  /** What goes up: the hello, and after the welcome whatever there is to say. */
  async *#requests(
    hello: Hello,
    outbox: Outbox,
    handlers: ConnectionHandlers,
  ): AsyncGenerator<ConnectRequest, void, undefined> {
    const { signal } = this;
    yield create(ConnectRequestSchema, { message: { case: "hello", value: hello } });
    while (!this.#isWelcome && !signal.aborted) await this.#welcomed.wait({ signal });
    while (!signal.aborted) {
      const message = outbox.next(() => handlers.now());
      if (message) yield message;
      else if (this.#isLast) return;
      else await outbox.filled.wait({ signal });
    }
  }
}
