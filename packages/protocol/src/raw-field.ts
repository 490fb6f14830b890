import { toBinary, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import { varintSize } from "./byte-column.ts";

const lengthDelimited = 2;

/** From so many bytes on a message is a piece of its own in {@link encodePieces}: to copy it costs more than another write. */
const largeBytes = 16 * 1024;

/** A piece may keep so many times its own bytes in memory: it lies in a buffer with others. */
const mostKept = 4;

/**
 * Puts encoded messages into a field of `message` without decoding them, after the fields that are set the usual way: a message
 * field and a `bytes` field have the same wire form, and protobuf-es writes unknown fields verbatim. For stored bytes that go to
 * many readers. The field must not be set otherwise, and the message must travel in binary, never as JSON.
 */
export function addRawMessages(message: Message, fieldNumber: number, encoded: readonly Uint8Array[]): void {
  if (encoded.length > 0) (message.$unknown ??= []).push(new RawMessages(fieldNumber, encoded));
}

/**
 * Encodes a message in pieces that make it up one after the other. Large ones of its raw messages are pieces as they are, so that they
 * are not copied; what is small is put together.
 */
export function encodePieces<Desc extends DescMessage>(
  desc: Desc,
  message: MessageShape<Desc>,
): [Uint8Array, ...Uint8Array[]] {
  const added = message.$unknown;
  if (!added?.every((each) => each instanceof RawMessages)) return [toBinary(desc, message)];
  message.$unknown = undefined;
  try {
    return [toBinary(desc, message), ...added.flatMap((each) => each.pieces())];
  } finally {
    message.$unknown = added;
  }
}

/** The form in which protobuf-es knows unknown fields. */
class RawMessages {
  readonly no: number;
  readonly wireType = lengthDelimited;
  readonly #encoded: readonly Uint8Array[];

  constructor(no: number, encoded: readonly Uint8Array[]) {
    this.no = no;
    this.#encoded = encoded;
  }

  /** One piece for all of them: it begins behind the tag that goes before each unknown field. */
  get data(): Uint8Array {
    const all = new Uint8Array(sizeOf(this.no, this.#encoded));
    putAll(all, this.no, this.#encoded);
    return all.subarray(varintSize(tagOf(this.no)));
  }

  pieces(): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let begin = 0;
    const putTogether = (end: number, large?: Uint8Array) => {
      const small = this.#encoded.slice(begin, end);
      const head = large ? rawFieldHead(this.no, large) : new Uint8Array();
      const run = new Uint8Array(sizeOf(this.no, small) + head.length);
      run.set(head, putAll(run, this.no, small));
      if (run.length > 0) pieces.push(run);
      if (large) pieces.push(large);
      begin = end + 1;
    };
    this.#encoded.forEach((each, i) => isLarge(each) && putTogether(i, each));
    putTogether(this.#encoded.length);
    return pieces;
  }
}

function isLarge({ length, buffer }: Uint8Array): boolean {
  return length >= largeBytes && length * mostKept >= buffer.byteLength;
}

/** How many bytes messages take in a field. */
function sizeOf(fieldNumber: number, encoded: readonly Uint8Array[]): number {
  const tagBytes = varintSize(tagOf(fieldNumber));
  return encoded.reduce((size, { length }) => size + tagBytes + varintSize(length) + length, 0);
}

/** Puts messages, as they are in a field, at the begin of `data`; returns where they end. */
function putAll(data: Uint8Array, fieldNumber: number, encoded: readonly Uint8Array[]): number {
  let at = 0;
  for (const bytes of encoded) {
    at = putVarint(data, tagOf(fieldNumber), at);
    at = putVarint(data, bytes.length, at);
    data.set(bytes, at);
    at += bytes.length;
  }
  return at;
}

/** What stands before an encoded message where it is a field of another one, so that the two need not be put together to be encoded. */
export function rawFieldHead(fieldNumber: number, { length }: Uint8Array): Uint8Array {
  const head = new Uint8Array(varintSize(tagOf(fieldNumber)) + varintSize(length));
  putVarint(head, length, putVarint(head, tagOf(fieldNumber), 0));
  return head;
}

function tagOf(fieldNumber: number): number {
  return (fieldNumber << 3) | lengthDelimited;
}

/** Writes a number of up to 32 bits; returns where the next byte goes. */
function putVarint(data: Uint8Array, value: number, at: number): number {
  while (value > 0x7f) {
    data[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  data[at++] = value;
  return at;
}
