import { create } from "@bufbuild/protobuf";
import { WelcomeSchema, type ConnectRequest, type ConnectResponse } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import type { InputDelivery } from "../jobs/input-delivery.ts";
import type { Inputs } from "../jobs/inputs.ts";
import { Refused } from "../refused.ts";
import { heartbeatMs, leaseMs } from "../workers/lease-clock.ts";
import { down, type WorkerSession } from "../workers/worker-session.ts";
import type { Workers } from "../workers/workers.ts";
import { firstIsLate, firstMessageMs } from "./first-message.ts";

/** What a Connect stream is served with. */
export interface ConnectParts {
  readonly workers: Workers;
  readonly inputs: Inputs;
  readonly storeId: string;
  readonly clock: Clock;
}

/** Where a Connect call's answers go. */
export interface ConnectOutlet {
  /** The worker takes an answer. When it takes none, {@link ConnectCall.pump} is to be called as soon as it does. */
  readonly canSend: boolean;
  send(message: ConnectResponse): void;
  /** Ends the call, with an error that the worker gets. */
  end(error?: unknown): void;
}

/**
 * One Connect call: from hello to the end of the session. A message is a call, and so is an answer: a worker that is connected and does
 * nothing has no promise that waits, and leaves no garbage at a heartbeat but the heartbeat.
 */
export class ConnectCall {
  readonly #parts: ConnectParts;
  readonly #out: ConnectOutlet;
  /** Until hello: how long it is waited for. Then: when the next heartbeat is due. */
  #timer: NodeJS.Timeout;
  #session: WorkerSession | undefined;
  #input: InputDelivery | undefined;
  #hasHello = false;
  #isOver = false;
  #isPumpDue = false;

  constructor(parts: ConnectParts, out: ConnectOutlet) {
    this.#parts = parts;
    this.#out = out;
    this.#timer = setTimeout(() => this.failed(firstIsLate()), firstMessageMs);
  }

  /** Takes what the worker says. The next message is to come when this resolves; at once if it is undefined. What is wrong ends the call. */
  hear(request: ConnectRequest): Promise<void> | undefined {
    if (this.#isOver) return undefined;
    try {
      const session = this.#session;
      const working = session ? this.#take(session, request) : this.#begin(request);
      return working?.catch((error: unknown) => this.failed(error));
    } catch (error) {
      this.failed(error);
      return undefined;
    }
  }

  /** The worker has ended its side: so does the session. */
  ended(): void {
    if (this.#session) this.#session.end();
    else if (!this.#hasHello) this.failed(helloIsMissing());
  }

  /** Ends the call with this error. */
  failed(error: unknown): void {
    if (this.#isOver) return;
    this.closed();
    this.#out.end(error);
  }

  /** The worker has gone, or the call is over: nothing can be sent any more. */
  closed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#input?.close();
    if (this.#session) this.#parts.workers.disconnect(this.#session);
  }

  /** Sends what is due, as far as the worker takes it. What is said goes before input. */
  pump(): void {
    const session = this.#session;
    if (!session || this.#isOver) return;
    try {
      while (this.#out.canSend && !session.closed.aborted) {
        const message = session.next() ?? this.#nextInput();
        if (!message) return;
        this.#out.send(message);
      }
      if (!session.closed.aborted) return;
      session.throwReason();
      this.closed();
      this.#out.end();
    } catch (error) {
      this.failed(error);
    }
  }

  /** Takes hello and begins the session. */
  async #begin({ message }: ConnectRequest): Promise<void> {
    if (message.case !== "hello") throw helloIsMissing();
    const { workers, inputs, storeId, clock } = this.#parts;
    this.#hasHello = true;
    clearTimeout(this.#timer);
    const session = await workers.connect(message.value);
    if (this.#isOver) {
      workers.disconnect(session);
      return;
    }
    this.#session = session;
    this.#input = inputs.deliverTo(session);
    const times = { serverTimeUs: BigInt(clock()), heartbeatMs, leaseMs };
    this.#out.send(
      down({ case: "welcome", value: create(WelcomeSchema, { storeId, epoch: session.epoch, ...times }) }),
    );
    const beat = () => session.heartbeat(clock());
    this.#out.send(beat());
    this.#timer = setInterval(() => session.say("heartbeat", beat), heartbeatMs);
    session.onDue = this.#pumpSoon;
    this.pump();
  }

  #take(session: WorkerSession, { message }: ConnectRequest): Promise<void> | undefined {
    const { workers } = this.#parts;
    workers.heard(session);
    switch (message.case) {
      case "heartbeat":
        workers.heartbeat(session, message.value);
        break;
      case "report":
        return workers.report(session, message.value);
      case "vitals":
        workers.vitals(session, message.value);
        break;
      case "inputTaken":
        this.#input?.heard(message.value);
        break;
      case "leaving":
        workers.leaving(session);
        break;
      case "hello":
        throw new Refused("invalid", "Hello is said once, as the first message of Connect.");
      case undefined:
        // A message of a newer SDK that this server does not know: a sign of life all the same.
        break;
    }
    return undefined;
  }

  #nextInput(): ConnectResponse | undefined {
    const value = this.#input?.take();
    return value && down({ case: "input", value });
  }

  /** Behind what is being done: what is said in one go is sent as it stands at the end. */
  readonly #pumpSoon = (): void => {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.pump();
    });
  };
}

function helloIsMissing(): Refused {
  return new Refused("invalid", "The first message of Connect is hello.");
}
