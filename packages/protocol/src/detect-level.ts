import { Level } from "./gen/signalbox/v1/chunk_pb.ts";

const levelWords: Readonly<Record<string, Level>> = {
  trace: Level.TRACE,
  verbose: Level.TRACE,
  finest: Level.TRACE,
  debug: Level.DEBUG,
  dbg: Level.DEBUG,
  fine: Level.DEBUG,
  info: Level.INFO,
  information: Level.INFO,
  notice: Level.INFO,
  warn: Level.WARN,
  warning: Level.WARN,
  error: Level.ERROR,
  err: Level.ERROR,
  severe: Level.ERROR,
  fatal: Level.FATAL,
  critical: Level.FATAL,
  crit: Level.FATAL,
  panic: Level.FATAL,
  alert: Level.FATAL,
  emerg: Level.FATAL,
};
const longestWord = 11;
/** How far into a line a level word may stand, bytes, and after how many other words. */
const prefixBytes = 120;
const prefixWords = 6;
const jsonBytes = 1024;
const escape = 0x1b;
const space = 0x20;
const jsonField = /"(?:level|severity|lvl|levelname|log\.level)"\s{0,4}:\s{0,4}(?:"([A-Za-z]{1,11})"|(\d{1,2})\b)/;
const assignedField = /^(?:level|severity|lvl)$/;

/**
 * The level that a line's own text states, or UNSPECIFIED. The one detector of Signalbox, used at the server's door for lines whose
 * worker gave no level. It looks at the beginning only, so that its cost does not grow with the line:
 *
 * - a JSON object: the field level, severity, lvl, levelname or log.level, as a word or as a pino number (10 to 60);
 * - else the first of the first 7 words, within 120 bytes, that is a level word written in capitals (`INFO`), in brackets
 *   (`[error]`, `<warn>`), as a value (`level=info`), or at the very beginning and followed by a colon (`warning: …`);
 * - the glog prefix: one of I W E F and four digits (`E0512 18:01:30.123 …`).
 *
 * SGR colour sequences are skipped. NOTICE counts as INFO, CRITICAL and PANIC as FATAL.
 */
export function detectLevel(line: Uint8Array): Level {
  let at = 0;
  while (at < line.length && (line[at] === space || line[at] === 0x09)) at++;
  if (line[at] === 0x7b) return detectJson(line.subarray(at, at + jsonBytes));
  const end = Math.min(line.length, prefixBytes);
  const first = at;
  const glog = detectGlog(line, at);
  if (glog !== Level.UNSPECIFIED) return glog;
  let words = 0;
  while (at < end && words <= prefixWords) {
    const byte = line[at] ?? 0;
    if (byte === escape) {
      at = skipEscape(line, at, end);
      continue;
    }
    if (!isWordByte(byte)) {
      if (byte === space) words++;
      at++;
      while (at < end && line[at] === space) at++;
      continue;
    }
    const start = at;
    while (at < end && isWordByte(line[at] ?? 0)) at++;
    if (at - start > longestWord) continue;
    const level = levelOf(line, start, at, first);
    if (level !== Level.UNSPECIFIED) return level;
  }
  return Level.UNSPECIFIED;
}

function levelOf(line: Uint8Array, start: number, end: number, first: number): Level {
  let lower = "";
  let capitals = true;
  for (let i = start; i < end; i++) {
    const byte = line[i] ?? 0;
    if (!isLetter(byte)) return Level.UNSPECIFIED;
    if (byte > 0x5a) capitals = false;
    lower += String.fromCharCode(byte | 0x20);
  }
  const level = levelWords[lower];
  if (level === undefined) return Level.UNSPECIFIED;
  if (capitals) return level;
  const before = start > 0 ? line[start - 1] : undefined;
  const after = line[end];
  if ((before === 0x5b && after === 0x5d) || (before === 0x3c && after === 0x3e)) return level;
  if (start === first && after === 0x3a) return level;
  if (before === 0x3d || (before === 0x22 && line[start - 2] === 0x3d)) {
    let nameEnd = start - 1;
    if (before === 0x22) nameEnd--;
    let nameStart = nameEnd;
    while (nameStart > 0 && isLetter(line[nameStart - 1] ?? 0)) nameStart--;
    if (assignedField.test(ascii(line.subarray(nameStart, nameEnd)))) return level;
  }
  return Level.UNSPECIFIED;
}

const glogLevels: Readonly<Record<string, Level>> = { I: Level.INFO, W: Level.WARN, E: Level.ERROR, F: Level.FATAL };

function detectGlog(line: Uint8Array, at: number): Level {
  for (let i = at + 1; i <= at + 4; i++) {
    const byte = line[i] ?? 0;
    if (byte < 0x30 || byte > 0x39) return Level.UNSPECIFIED;
  }
  return line[at + 5] === space
    ? (glogLevels[String.fromCharCode(line[at] ?? 0)] ?? Level.UNSPECIFIED)
    : Level.UNSPECIFIED;
}

function detectJson(start: Uint8Array): Level {
  const match = jsonField.exec(ascii(start));
  if (!match) return Level.UNSPECIFIED;
  const [, word, number] = match;
  if (word !== undefined) return levelWords[word.toLowerCase()] ?? Level.UNSPECIFIED;
  const pino = Number(number);
  return pino % 10 === 0 && pino >= 10 && pino <= 60 ? ((pino / 10) as Level) : Level.UNSPECIFIED;
}

function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Index after the escape sequence at `at`. */
function skipEscape(line: Uint8Array, at: number, end: number): number {
  at++;
  if (line[at] !== 0x5b) return at;
  at++;
  while (at < end && (line[at] ?? 0) >= 0x20 && (line[at] ?? 0) < 0x40) at++;
  return at + 1;
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

/** Bytes that make a word: `nova-api.log` and `dfs.DataNode` are one word, so that a level inside a name is not taken for one. */
function isWordByte(byte: number): boolean {
  return (
    isLetter(byte) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f || byte === 0x2d || byte === 0x2e || byte >= 0x80
  );
}
