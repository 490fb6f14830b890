import type { Message } from "@bufbuild/protobuf";

const lengthDelimited = 2;

/**
 * Puts encoded messages into a field of `message` without decoding them, after the fields that are set the usual way: a message
 * field and a `bytes` field have the same wire form, and protobuf-es writes unknown fields verbatim. For stored bytes that go to
 * many readers. The field must not be set otherwise, and the message must travel in binary, never as JSON.
 */
export function addRawMessages(message: Message, fieldNumber: number, encoded: readonly Uint8Array[]): void {
  const fields = (message.$unknown ??= []);
  for (const bytes of encoded) {
    const prefix = varint(bytes.length);
    const data = new Uint8Array(prefix.length + bytes.length);
    data.set(prefix);
    data.set(bytes, prefix.length);
    fields.push({ no: fieldNumber, wireType: lengthDelimited, data });
  }
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
