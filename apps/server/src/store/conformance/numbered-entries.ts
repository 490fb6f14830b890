/** Entries that tell whether they are whole: a number, and bytes that follow from it. For tests. */

/** Topics that they are appended to. */
export const numberedTopics = ["log/one/1", "log/two/1", "job/one", "job/two"] as const;

const largestBytes = 20_000;

/** The entry with this number. */
export function encodeNumbered(number: number): Uint8Array {
  const data = new Uint8Array(4 + ((number * 7_919) % largestBytes)).fill(number & 0xff);
  new DataView(data.buffer).setUint32(0, number);
  return data;
}

/** The number of an entry. Throws if a byte of it is not as it was made. */
export function decodeNumbered(data: Uint8Array): number {
  const number = new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0);
  if (Buffer.compare(encodeNumbered(number), data) !== 0) throw new Error(`entry ${number} is damaged`);
  return number;
}
