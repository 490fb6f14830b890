import { fromBinary } from "@bufbuild/protobuf";
import { PushLogsRequestSchema, WorkerService } from "@signalbox/protocol";
import { Code, ConnectError } from "@connectrpc/connect";
import type { PlainCall, PlainMethod } from "../http/plain-stream.ts";
import type { Ack, PushStream } from "../workers/push-stream.ts";
import { firstIsLate, firstMessageMs } from "./first-message.ts";
import { openPush, takeRequest, type PushDoor } from "./push-logs.ts";

const { pushLogs } = WorkerService.method;

// Tags of `PushLogsRequest.chunk` and of the fields of `PushLogsResponse`, as they stand on the wire.
const chunkTag = 0x12;
const nextLineTag = 0x08;
const creditTag = 0x10;
const lateTag = 0x18;

/** PushLogs in the plain form of a call: nothing between a message and the store but what must be. */
export function plainPushLogs(workers: PushDoor): PlainMethod {
  return {
    path: `/${pushLogs.parent.typeName}/${pushLogs.name}`,
    accept: (call) => new PlainPush(workers, call),
  };
}

class PlainPush {
  readonly #workers: PushDoor;
  readonly #call: PlainCall;
  readonly #late: NodeJS.Timeout;
  #hasFirst = false;
  #stream: PushStream | undefined;
  /** The client ended its side, or went, before the stream was open. */
  #isOver = false;

  constructor(workers: PushDoor, call: PlainCall) {
    this.#workers = workers;
    this.#call = call;
    this.#late = setTimeout(() => call.end(firstIsLate()), firstMessageMs);
  }

  message(bytes: Uint8Array): void {
    const stream = this.#stream;
    if (stream) {
      const chunk = chunkOf(bytes);
      if (chunk) stream.chunk(chunk);
      else takeRequest(stream, decode(bytes));
      if (!stream.hasRoom) this.#call.want(false);
    } else if (!this.#hasFirst) {
      this.#hasFirst = true;
      clearTimeout(this.#late);
      this.#call.want(false);
      void this.#open(bytes);
    }
  }

  ended(): void {
    if (!this.#hasFirst) {
      clearTimeout(this.#late);
      this.#hasFirst = true;
      void this.#open(undefined);
    }
    this.#over();
  }

  failed(error: Error): void {
    clearTimeout(this.#late);
    if (this.#stream) {
      this.#stream.end(error);
      this.#step();
    } else this.#call.end(error);
  }

  closed(): void {
    clearTimeout(this.#late);
    this.#hasFirst = true;
    this.#isOver = true;
    this.#stream?.end();
  }

  writable(): void {
    this.#step();
  }

  #over(): void {
    this.#isOver = true;
    this.#stream?.end();
    this.#step();
  }

  async #open(first: Uint8Array | undefined): Promise<void> {
    try {
      const stream = await openPush(this.#workers, first && decode(first), () => this.#step());
      this.#stream = stream;
      if (this.#isOver) stream.end();
      this.#step();
    } catch (error) {
      this.#call.end(error);
    }
  }

  /** Sends what there is to acknowledge, reads on or stops reading, and ends what is over. */
  #step(): void {
    const stream = this.#stream;
    if (!stream) return;
    while (this.#call.canSend) {
      const ack = stream.takeAck();
      if (!ack) break;
      this.#call.send(frameAck(ack));
    }
    const { over } = stream;
    if (over) this.#call.end(over.error);
    else this.#call.want(stream.hasRoom);
  }
}

function decode(bytes: Uint8Array) {
  try {
    return fromBinary(PushLogsRequestSchema, bytes);
  } catch (error) {
    const words = `The message is not an encoded ${PushLogsRequestSchema.typeName}.`;
    throw new ConnectError(words, Code.InvalidArgument, undefined, undefined, error);
  }
}

/** The chunk of an encoded request that holds nothing else: a view of its bytes. */
function chunkOf(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== chunkTag) return undefined;
  let length = 0;
  for (let at = 1; at < 5; at++) {
    const byte = bytes[at] ?? 0;
    length |= (byte & 0x7f) << (7 * (at - 1));
    if (byte < 0x80) return at + 1 + length === bytes.length ? bytes.subarray(at + 1) : undefined;
  }
  return undefined;
}

/** An acknowledgement in its gRPC frame. */
function frameAck({ nextLine, creditBytes, late }: Ack): Buffer {
  const framed = Buffer.allocUnsafe(32);
  framed[5] = nextLineTag;
  let at = varint(framed, 6, nextLine);
  framed[at++] = creditTag;
  at = varint(framed, at, creditBytes);
  if (late) {
    framed[at++] = lateTag;
    framed[at++] = 1;
  }
  framed[0] = 0;
  framed.writeUInt32BE(at - 5, 1);
  return framed.subarray(0, at);
}

/** Writes a number of up to 2^53 as a varint; returns where the next byte goes. */
function varint(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest > 0x7f) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}
