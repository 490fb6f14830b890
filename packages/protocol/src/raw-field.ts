import type { Message } from "@bufbuild/protobuf";

const lengthDelimited = 2;

/**
 * Puts encoded messages into a field of `message` without decoding them, after the fields that are set the usual way: a message
 * field and a `bytes` field have the same wire form, and protobuf-es writes unknown fields verbatim. For stored bytes that go to
 * many readers. The field must not be set otherwise, and the message must travel in binary, never as JSON.
 */
export function addRawMessages(message: Message, fieldNumber: number, encoded: readonly Uint8Array[]): void {
  if (encoded.length === 0) return;
  const tag = varint((fieldNumber << 3) | lengthDelimited);
  const prefixes = encoded.map(({ length }) => varint(length));
  const size = encoded.reduce((sum, { length }, i) => sum + tag.length + (prefixes[i]?.length ?? 0) + length, 0);
  // One piece for all of them, which is copied as one: it begins behind the tag that goes before each unknown field.
  const data = new Uint8Array(size - tag.length);
  let at = 0;
  for (const [i, bytes] of encoded.entries()) {
    if (i > 0) at = put(data, tag, at);
    at = put(data, prefixes[i] ?? [], at);
    at = put(data, bytes, at);
  }
  (message.$unknown ??= []).push({ no: fieldNumber, wireType: lengthDelimited, data });
}

/** What stands before an encoded message where it is a field of another one, so that the two need not be put together to be encoded. */
export function rawFieldHead(fieldNumber: number, { length }: Uint8Array): Uint8Array {
  return Uint8Array.from([...varint((fieldNumber << 3) | lengthDelimited), ...varint(length)]);
}

function put(data: Uint8Array, piece: ArrayLike<number>, at: number): number {
  data.set(piece, at);
  return at + piece.length;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  while (value > 0x7f) {
    bytes.push((value & 0x7f) | 0x80);
    value >>>= 7;
  }
  bytes.push(value);
  return bytes;
}
