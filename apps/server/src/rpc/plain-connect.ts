import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ConnectRequestSchema, ConnectResponseSchema, WorkerService, type ConnectRequest } from "@signalbox/protocol";
import type { PlainCall, PlainMethod, PlainReader } from "../http/plain-stream.ts";
import { pause } from "../pause.ts";
import { connectWorker, type ConnectParts } from "./worker-service.ts";

const { connect } = WorkerService.method;

/** Messages of a worker that are taken before others have their turn. */
const messagesATurn = 16;
/** So many messages of a worker are taken at once, as when it comes back with many attempts; more only at this rate. */
const messageBurst = 2_000;
const messagesPerSecond = 500;

/**
 * Connect in the plain form of a call: a worker that is connected and does nothing holds a third of what it would in the general
 * machinery, and one that talks without pause leaves turns to others.
 */
export function plainConnect(parts: ConnectParts): PlainMethod {
  return {
    path: `/${connect.parent.typeName}/${connect.name}`,
    accept: (call) => {
      const stream = new PlainConnect(call);
      void stream.serve(parts);
      return stream;
    },
  };
}

class PlainConnect implements PlainReader, AsyncIterator<ConnectRequest, undefined> {
  readonly #call: PlainCall;
  readonly #gone = new AbortController();
  /** A message that nobody has asked for yet: there is one at most. */
  #message: Uint8Array | undefined;
  #isOver = false;
  #failure: Error | undefined;
  #given = 0;
  /** Messages that may still be taken at once; what is below 0 is waited for. */
  #allowance = messageBurst;
  #askedAt = performance.now();
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(call: PlainCall) {
    this.#call = call;
  }

  /** Runs the call to its end. */
  async serve(parts: ConnectParts): Promise<void> {
    try {
      for await (const response of connectWorker(parts, this, this.#gone.signal)) {
        this.#call.send(frame(toBinary(ConnectResponseSchema, response)));
        while (!this.#call.canSend && !this.#gone.signal.aborted)
          await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
      }
      this.#call.end();
    } catch (error) {
      this.#call.end(error);
    }
  }

  async next(): Promise<IteratorResult<ConnectRequest, undefined>> {
    const rest = this.#rest();
    if (rest) await rest;
    for (;;) {
      const bytes = this.#message;
      if (bytes) {
        this.#message = undefined;
        this.#call.want(true);
        return { done: false, value: decode(bytes) };
      }
      if (this.#failure) throw this.#failure;
      if (this.#isOver) return { done: true, value: undefined };
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  /** A worker has some messages a second to say. Who floods waits, with what it sends, and nobody waits with it. */
  #rest(): Promise<unknown> | undefined {
    const now = performance.now();
    const earned = ((now - this.#askedAt) / 1000) * messagesPerSecond;
    this.#askedAt = now;
    this.#allowance = Math.min(messageBurst, this.#allowance + earned) - 1;
    if (this.#allowance < -messagesATurn)
      return pause((-this.#allowance / messagesPerSecond) * 1000, this.#gone.signal);
    return ++this.#given % messagesATurn === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }

  message(bytes: Uint8Array): void {
    this.#message = bytes;
    this.#call.want(false);
    this.#wakeReader?.();
  }

  ended(): void {
    this.#isOver = true;
    this.#wakeReader?.();
  }

  failed(error: Error): void {
    this.#failure = error;
    this.#wakeReader?.();
  }

  closed(): void {
    this.#isOver = true;
    this.#gone.abort(new ConnectError("The client has gone.", Code.Canceled));
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  writable(): void {
    this.#wakeWriter?.();
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
