/** What stands where a secret was. */
export const MARK = "[redacted]";

/** The mark as the bytes that go into a log. */
export const markBytes: Uint8Array = Buffer.from(MARK);

/** Shorter values are not masked: they would stand in every other line by chance. Bytes and characters. */
export const MIN_SECRET_LENGTH = 6;

/** Most bytes of a literal, and so most bytes that are held back because a secret may begin with them. */
export const MAX_LITERAL_BYTES = 4096;

/** Line ends are never masked: what has so many lines has as many afterwards. */
export function isLineEnd(byte: number | undefined): boolean {
  return byte === 0x0a || byte === 0x0d;
}
