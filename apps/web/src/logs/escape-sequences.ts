/** A part of a line: text, or an escape sequence that a terminal would obey. */
export type TextPart =
  | { readonly kind: "text"; readonly text: string }
  /** Select graphic rendition: `params` as printed, without `ESC [` and `m`. */
  | { readonly kind: "style"; readonly params: string }
  /** Erase to the end of the line. */
  | { readonly kind: "erase" };

const escape = "\u001b";

/**
 * Splits a line at its escape sequences. Whole sequences that a line of text has no use for (cursor moves, titles, links) are left
 * out; a broken one stays in the text, where its ESC is made visible. Linear in the length.
 */
export function splitEscapes(line: string): TextPart[] {
  const parts: TextPart[] = [];
  let from = 0;
  for (let at = line.indexOf(escape); at >= 0;) {
    const end = sequenceEnd(line, at);
    if (end === undefined) {
      at = line.indexOf(escape, at + 1);
      continue;
    }
    if (at > from) parts.push({ kind: "text", text: line.slice(from, at) });
    const final = line[end - 1];
    if (line[at + 1] === "[" && final === "m") parts.push({ kind: "style", params: line.slice(at + 2, end - 1) });
    else if (line[at + 1] === "[" && final === "K") parts.push({ kind: "erase" });
    from = end;
    at = line.indexOf(escape, end);
  }
  if (from < line.length) parts.push({ kind: "text", text: line.slice(from) });
  return parts;
}

/** Where the sequence that begins at `at` ends, exclusive; undefined if it is not whole. */
function sequenceEnd(line: string, at: number): number | undefined {
  const kind = line.charCodeAt(at + 1);
  // CSI: parameters, intermediates, one final character.
  if (kind === 0x5b) {
    let end = at + 2;
    while (inRange(line, end, 0x30, 0x3f)) end++;
    while (inRange(line, end, 0x20, 0x2f)) end++;
    return inRange(line, end, 0x40, 0x7e) ? end + 1 : undefined;
  }
  // OSC: up to BEL or ESC \. Bounded, so that many broken ones do not make a line quadratic.
  if (kind === 0x5d) {
    const limit = Math.min(line.length, at + 4096);
    for (let end = at + 2; end < limit; end++) {
      if (line[end] === "\u0007") return end + 1;
      if (line[end] === escape) return line[end + 1] === "\\" ? end + 2 : undefined;
    }
    return undefined;
  }
  // Character sets: ESC ( B.
  if (kind >= 0x20 && kind <= 0x2f) return inRange(line, at + 2, 0x30, 0x7e) ? at + 3 : undefined;
  return inRange(line, at + 1, 0x30, 0x7e) ? at + 2 : undefined;
}

function inRange(line: string, at: number, from: number, to: number): boolean {
  const code = line.charCodeAt(at);
  return code >= from && code <= to;
}
