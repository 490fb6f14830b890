/** The largest entry or record. */
const maxDataBytes = 4 * 1024 * 1024;

const topicPattern = /^[A-Za-z0-9/._:-]{1,300}$/;
const prefixPattern = /^[A-Za-z0-9/._:-]{0,300}$/;
const tablePattern = /^[a-z0-9_]{1,60}$/;

/** Throws a RangeError unless this is the name of a topic, or a key of a table. */
export function assertName(name: string): void {
  if (!topicPattern.test(name))
    throw new RangeError(`not a name of 1 to 300 of A-Z a-z 0-9 / . _ : -: ${quoted(name)}`);
}

/** Throws a RangeError unless names can start with this. */
export function assertPrefix(prefix: string): void {
  if (!prefixPattern.test(prefix)) throw new RangeError(`no name starts with ${quoted(prefix)}`);
}

/** Throws a RangeError unless this is the name of a table. */
export function assertTableName(name: string): void {
  if (!tablePattern.test(name)) throw new RangeError(`not a name of 1 to 60 of a-z 0-9 _: ${quoted(name)}`);
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 300));
}

/** Throws a RangeError unless this is a whole number that is not less than the one before. */
export function assertMark(mark: number, before: number): void {
  if (!(Number.isSafeInteger(mark) && mark >= before)) {
    throw new RangeError(`mark ${mark} is less than ${before} or no whole number`);
  }
}

/** Throws a RangeError if this is more than one entry or record may hold. */
export function assertData(...pieces: readonly Uint8Array[]): void {
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  if (bytes > maxDataBytes) throw new RangeError(`${bytes} bytes are more than ${maxDataBytes}`);
}
