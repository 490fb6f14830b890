/**
 * Makes text of jobs and of other people harmless in a terminal. What a terminal would obey becomes visible instead: `␛]52;…`, `␍`,
 * `<U+202E>`. Tab stays; colours may.
 */

const escape = "\u001b";

/** Controls without tab, what turns the direction of text around, and Unicode's own line ends. */
const harmful = /(?!\t)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** `ESC [ numbers m`: colours and weights. Bounded, so that a line of broken ones is not read twice. */
const graphics = new RegExp(`${escape}\\[[0-9;:]{0,64}m`, "g");

/** The beginning of a colour sequence, or of a line end, at the end of a piece: what follows may be in the next one. */
const unfinished = new RegExp(`(?:${escape}(?:\\[[0-9;:]{0,64})?|\\r)$`);

/** Where text ends that cannot be judged yet: at `unfinished`, else at its end. */
export function judgeableLength(text: string): number {
  return unfinished.exec(text)?.index ?? text.length;
}

/**
 * The text with every control made visible. With `colors` its colours stay and are switched off at its end; without, they are left
 * out. Linear in the length.
 */
export function sanitise(text: string, colors = false): string {
  if (!text.includes(escape)) return visible(text);
  let result = "";
  let from = 0;
  let colored = false;
  for (const match of text.matchAll(graphics)) {
    if (!isOnlyColor(match[0])) continue;
    result += visible(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (!colors) continue;
    result += match[0];
    colored = true;
  }
  result += visible(text.slice(from));
  return colored ? `${result}${escape}[0m` : result;
}

function visible(text: string): string {
  return text.replace(harmful, (char) => {
    const code = char.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

/** Whether a sequence sets nothing but colours and weights: hidden and blinking text is not kept. */
function isOnlyColor(sequence: string): boolean {
  const codes = sequence.slice(2, -1).split(";");
  for (let at = 0; at < codes.length; at++) {
    const code = Number((codes[at] ?? "").split(":")[0]);
    // 38;5;n and 38;2;r;g;b: what follows belongs to the colour.
    if (code === 38 || code === 48 || code === 58) at += codes[at + 1] === "2" ? 4 : codes[at + 1] === "5" ? 2 : 0;
    else if (code === 5 || code === 6 || code === 8) return false;
  }
  return true;
}
