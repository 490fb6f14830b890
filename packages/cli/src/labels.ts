import { usageError } from "./exit-codes.ts";

/** Labels from `key=value` words. Throws CliError. */
export function parseLabels(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      if (at < 1) throw usageError(`The label '${word}' is not of the form key=value.`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}
