import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Number of the field `previous_digest` in entries of a topic. */
export const previousDigestField = { job: 22, audit: 3 } as const;

const none = new Uint8Array();

/**
 * The digest of the entry before that a stored entry carries, empty if it has none, without decoding the rest. Throws if the bytes are no
 * message.
 */
export function previousDigestOf(bytes: Uint8Array, field: number): Uint8Array {
  const reader = new BinaryReader(bytes);
  let digest: Uint8Array = none;
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === field && type === WireType.LengthDelimited) digest = reader.bytes();
    else reader.skip(type, number);
  }
  return digest;
}
