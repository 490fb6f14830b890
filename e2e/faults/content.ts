/** What a job of the fault worker prints: a function of its seed and the line's number, so that whoever knows both can check a line. */
export interface Content {
  /**
   * What is printed in one call at line `number`, and the number after it. Most calls print one line; a long line takes two numbers,
   * because it is stored in two pieces.
   */
  printedAt(number: number): Printed;
  /** Whether these are the bytes of line `number`, as they must be stored. */
  isLine(number: number, bytes: Uint8Array): boolean;
}

/** One call of the job's log. */
export interface Printed {
  readonly bytes: Uint8Array;
  readonly next: number;
  readonly source: "stdout" | "stderr" | "task";
}

const pieceBytes = 64 * 1024;
const poolBytes = 256 * 1024;
/** Each so-many-th line is a long one: its first piece is full, the next goes on from it. */
const longEvery = 2000;
const longAt = 1500;
const newline = 0x0a;

/**
 * Lines of mixed sizes: text, empty lines, bytes that are no UTF-8 (control characters among them), text of several bytes a character,
 * lines of some kilobytes, and now and then one that is longer than a piece. `plain`: only printable ASCII, as a page shows it.
 */
export function makeContent(seed: number, plain = false): Content {
  const text = pool(seed, (random) => 0x20 + (random % 0x5f));
  const binary = pool(seed + 1, (random) => (random % 256 === newline ? 0x0b : random % 256));
  const wide = Buffer.from("žluťoučký kůň – 线路 – поезд – 🚂 – ".repeat(40));

  const slice = (from: Uint8Array, hash: number, length: number) => {
    const start = hash % (poolBytes - length);
    return from.subarray(start, start + length);
  };
  const body = (hash: number): Uint8Array => {
    const kind = hash % 100;
    const size = hash >>> 8;
    if (plain) return slice(text, size, 1 + (size % 120));
    if (kind < 5) return new Uint8Array();
    if (kind < 12) return slice(binary, size, 1 + (size % 200));
    if (kind < 15) return wide.subarray(0, 1 + (size % (wide.length - 1)));
    if (kind < 17) return slice(text, size, 1000 + (size % 3000));
    return slice(text, size, 1 + (size % 150));
  };
  const line = (number: number): Uint8Array => {
    const hash = mix(seed, number);
    const rest = body(hash);
    // An empty line is empty; all others say which they are.
    const label = rest.length > 0 ? `INFO ${number} ` : "";
    const made = Buffer.allocUnsafe(label.length + rest.length + 1);
    made.write(label, "latin1");
    made.set(rest, label.length);
    made[made.length - 1] = newline;
    return made;
  };
  const isLong = (number: number) => !plain && number % longEvery === longAt;
  const longHead = (number: number): Uint8Array => {
    const head = Buffer.alloc(pieceBytes, slice(text, mix(seed, number), 997));
    head.write(`INFO ${number} long `, "latin1");
    return head;
  };
  const piece = (number: number) => (isLong(number) ? longHead(number) : line(number));

  return {
    printedAt(number) {
      const source = (["stdout", "stderr", "task"] as const)[mix(seed, number + 1) % 3] ?? "stdout";
      if (!isLong(number)) return { bytes: line(number), next: number + 1, source };
      return { bytes: Buffer.concat([longHead(number), line(number + 1)]), next: number + 2, source };
    },
    isLine: (number, bytes) => Buffer.compare(piece(number), bytes) === 0,
  };
}

function pool(seed: number, byte: (random: number) => number): Uint8Array {
  return Uint8Array.from({ length: poolBytes }, (_, i) => byte(mix(seed, i) >>> 3));
}

/** A well-mixed number of 32 bits from two. */
export function mix(seed: number, number: number): number {
  let hash = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
