import { create, fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  encodePieces,
  LiveService,
  WatchRequestSchema,
  WatchResponseSchema,
  type WatchRequest,
  type WatchResponse,
} from "@signalbox/protocol";
import type { PlainWebStream, WebPeer } from "../http/plain-web-stream.ts";

const { watch } = LiveService.method;

/** Watch for browsers, in the plain form of a call: what many of them are told is encoded once. */
export function plainWatch(
  open: (request: WatchRequest, from: WebPeer) => AsyncIterable<WatchResponse>,
): PlainWebStream {
  return {
    path: `/${watch.parent.typeName}/${watch.name}`,
    async *answer(request, from) {
      for await (const response of open(decode(request), from)) yield encodeWatch(response);
    },
  };
}

/** What was encoded already, by the message: those that tell of the same changes share it. */
const known = new WeakMap<Message, readonly Uint8Array[]>();

/** A response in pieces that make it up one after the other. All but the first, of what it tells, are the same for all responses that tell the same. */
export function encodeWatch({ subscriptionId, cursor, message }: WatchResponse): readonly Uint8Array[] {
  const head = toBinary(WatchResponseSchema, create(WatchResponseSchema, { subscriptionId, cursor }));
  if (message.case === undefined) return [head];
  const { number, message: desc } = WatchResponseSchema.field[message.case];
  if (!desc) throw new Error(`${message.case} is no message`);
  let told = known.get(message.value);
  if (!told) known.set(message.value, (told = encodePieces(desc, message.value)));
  const bytes = told.reduce((sum, { length }) => sum + length, 0);
  const begun = new BinaryWriter().raw(head).tag(number, WireType.LengthDelimited).uint32(bytes).finish();
  return [begun, ...told];
}

function decode(bytes: Uint8Array): WatchRequest {
  try {
    return fromBinary(WatchRequestSchema, bytes);
  } catch (error) {
    // As the general machinery has it.
    const words = error instanceof Error ? error.message : String(error);
    throw new ConnectError(words, Code.Internal, undefined, undefined, error);
  }
}
