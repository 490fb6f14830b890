import { usageError } from "./exit-codes.ts";

/** What the server takes, characters. */
const longest = { name: 200, labels: 32, labelKey: 63, labelValue: 200 };

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

/**
 * Checks a job's name and labels as the server does, for a job that begins before the server has seen them. Throws CliError.
 */
export function checkDescription(name: string, labels: Readonly<Record<string, string>>): void {
  const refuse = (what: string) => usageError(`Not run: ${what}.`, "");
  if (name.length > longest.name)
    throw refuse(`the name has ${name.length} characters, at most ${longest.name} are allowed`);
  const entries = Object.entries(labels);
  if (entries.length > longest.labels)
    throw refuse(`there are ${entries.length} labels, at most ${longest.labels} are allowed`);
  for (const [key, value] of entries)
    if (key.length > longest.labelKey || value.length > longest.labelValue)
      throw refuse(
        `the label '${key.slice(0, longest.labelKey)}' is too long: a key has 1 to ${longest.labelKey} characters, a value at most ${longest.labelValue}`,
      );
}
