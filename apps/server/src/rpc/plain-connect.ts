import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  WorkerService,
  type ConnectRequest,
  type ConnectResponse,
} from "@signalbox/protocol";
import type { PlainCall, PlainMethod, PlainReader } from "../http/plain-stream.ts";
import { ConnectCall, type ConnectOutlet, type ConnectParts } from "./connect-call.ts";

const { connect } = WorkerService.method;

/** Messages of a worker that are taken before others have their turn. */
const messagesATurn = 16;
/** So many messages of a worker are taken at once, as when it comes back with many attempts; more only at this rate. */
const messageBurst = 2_000;
const messagesPerSecond = 500;

/**
 * Connect in the plain form of a call: a worker that is connected and does nothing holds a fraction of what it would in the general
 * machinery, and one that talks without pause leaves turns to others.
 */
export function plainConnect(parts: ConnectParts): PlainMethod {
  return {
    path: `/${connect.parent.typeName}/${connect.name}`,
    accept: (call) => new PlainConnect(parts, call),
  };
}

class PlainConnect implements PlainReader, ConnectOutlet {
  readonly #call: PlainCall;
  readonly #connect: ConnectCall;
  #given = 0;
  /** Messages that may still be taken at once; what is below 0 is waited for. */
  #allowance = messageBurst;
  #takenAt = performance.now();

  constructor(parts: ConnectParts, call: PlainCall) {
    this.#call = call;
    this.#connect = new ConnectCall(parts, this);
  }

  message(bytes: Uint8Array): void {
    const working = this.#connect.hear(decode(bytes));
    const restMs = this.#rest();
    if (!working && restMs === undefined) return;
    this.#call.want(false);
    void this.#goOn(working, restMs);
  }

  ended(): void {
    this.#connect.ended();
  }

  failed(error: Error): void {
    this.#connect.failed(error);
  }

  closed(): void {
    this.#connect.closed();
  }

  writable(): void {
    this.#connect.pump();
  }

  get canSend(): boolean {
    return this.#call.canSend;
  }

  send(message: ConnectResponse): void {
    this.#call.send(frame(toBinary(ConnectResponseSchema, message)));
  }

  end(error?: unknown): void {
    this.#call.end(error);
  }

  /**
   * How long the next message has to wait, milliseconds; 0: until others had their turn. A worker has some messages a second to say. Who
   * floods waits, with what it sends, and nobody waits with it.
   */
  #rest(): number | undefined {
    const now = performance.now();
    const earned = ((now - this.#takenAt) / 1000) * messagesPerSecond;
    this.#takenAt = now;
    this.#allowance = Math.min(messageBurst, this.#allowance + earned) - 1;
    if (this.#allowance < -messagesATurn) return (-this.#allowance / messagesPerSecond) * 1000;
    return ++this.#given % messagesATurn === 0 ? 0 : undefined;
  }

  /** Takes the next message when this one is done with, and not before its time. */
  async #goOn(working: Promise<void> | undefined, restMs: number | undefined): Promise<void> {
    if (restMs !== undefined)
      await new Promise((resolve) => (restMs > 0 ? setTimeout(resolve, restMs) : setImmediate(resolve)));
    await working;
    this.#call.want(true);
  }
}

function decode(bytes: Uint8Array): ConnectRequest {
  try {
    return fromBinary(ConnectRequestSchema, bytes);
  } catch (error) {
    const words = `The message is not an encoded ${ConnectRequestSchema.typeName}.`;
    throw new ConnectError(words, Code.InvalidArgument, undefined, undefined, error);
  }
}

/** A message in its gRPC frame. */
function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}
