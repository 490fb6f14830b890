import { MAX_LITERAL_BYTES, MIN_SECRET_LENGTH } from "./mark.ts";

// What is longer than a literal may be is masked in parts of this size.
const partBytes = 1024;
// Longer values are masked as they are and line by line, but not encoded: nobody prints a database in base64.
const longestEncoded = 16 * 1024;
/** The first and last line of a key in PEM are none, and say of other keys where they are. */
const pemFrame = /^-----(?:BEGIN|END) [A-Z0-9 ]+-----$/u;
/** Lengths at which base64 is broken into lines: MIME and `base64`, PEM and `openssl`. */
const base64Widths = [76, 64];

/**
 * Everything that a secret looks like when a program prints it, as bytes: itself and each of its lines, as JSON, in a URL, quoted for a
 * shell, and in base64, alone, in lines, or inside of something longer. What is too short to be told from other text is left out.
 */
export function secretForms(value: string): Uint8Array[] {
  const whole = value.trim().toWellFormed();
  const lines = whole
    .split(/[\r\n]+/u)
    .map((line) => line.trim())
    .filter((line) => !pemFrame.test(line));
  const forms = new Set<string>();
  for (const text of [whole, ...lines]) {
    if (text.length < MIN_SECRET_LENGTH) continue;
    forms.add(text);
    if (text.length > longestEncoded) continue;
    for (const form of [...asJson(text), ...inUrl(text), ...inShell(text), ...insideBase64(text)]) forms.add(form);
  }
  if (value.length <= longestEncoded)
    for (const text of new Set([whole, value.toWellFormed(), `${whole}\n`]))
      if (whole.length >= MIN_SECRET_LENGTH) for (const form of inBase64(text)) forms.add(form);
  return [...forms].flatMap((form) => parts(Buffer.from(form)));
}

function parts(bytes: Buffer): Uint8Array[] {
  if (bytes.length < MIN_SECRET_LENGTH) return [];
  if (bytes.length <= MAX_LITERAL_BYTES) return [bytes];
  const count = Math.ceil(bytes.length / partBytes);
  return Array.from({ length: count }, (_, i) =>
    bytes.subarray(Math.floor((i * bytes.length) / count), Math.floor(((i + 1) * bytes.length) / count)),
  );
}

function asJson(text: string): string[] {
  const plain = inJsonString(text);
  return [
    plain,
    // JSON in JSON.
    inJsonString(plain),
    // As Python has it by default, PHP, Go, and .NET.
    escaped(plain, /[^\0-\x7f]/gu),
    plain.replaceAll("/", "\\/"),
    escaped(plain, /[<>&\u2028\u2029]/gu),
    escaped(plain.replaceAll('\\"', '"'), /["'<>&+`]|[^\0-\x7f]/gu).replace(/\\u[\da-f]{4}/gu, (each) =>
      each.toUpperCase().replace("U", "u"),
    ),
    // As in source code: inspect of Node, repr of Python; the second one where both quotes are in it.
    plain.replaceAll('\\"', '"'),
    plain.replaceAll('\\"', '"').replaceAll("'", "\\'"),
  ];
}

function inJsonString(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function escaped(text: string, characters: RegExp): string {
  return text.replace(characters, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

function inUrl(text: string): string[] {
  const component = encodeURIComponent(text);
  const strict = component.replace(/[!'()*~]/gu, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);
  const upper = [component, strict].flatMap((form) => [
    form,
    form.replaceAll("%20", "+"),
    form.replaceAll("%2F", "/"),
    form.replaceAll("%7E", "~"),
    encodeURI(text),
  ]);
  return upper.flatMap((form) => [form, form.replace(/%[\dA-F]{2}/gu, (each) => each.toLowerCase())]);
}

function inShell(text: string): string[] {
  // As `set -x` prints it.
  return [text.replaceAll("'", "'\\''")];
}

/** In base64 of something longer: what does not depend on the bytes around it, for each of the three ways to stand there. */
function insideBase64(text: string): string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replace(/=+$/u, "");
    // The last character holds bits of what follows, unless the bytes fill their group.
    const end = (before + bytes.length) % 3 === 0 ? encoded.length : encoded.length - 1;
    return bothAlphabets(encoded.slice(before === 0 ? 0 : before + 1, end));
  });
}

/** Base64 of exactly this, with and without padding, in one line and in lines. */
function inBase64(text: string): string[] {
  const padded = Buffer.from(text).toString("base64");
  const lines = base64Widths.flatMap((width) => padded.match(new RegExp(`.{1,${width}}`, "gu")) ?? []);
  return [padded, padded.replace(/=+$/u, ""), ...lines].flatMap(bothAlphabets);
}

function bothAlphabets(base64: string): string[] {
  return [base64, base64.replaceAll("+", "-").replaceAll("/", "_")];
}
