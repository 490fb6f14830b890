import { usageError } from "./exit-codes.ts";

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `500ms`, `10s`, `1.5m`, `1h30m`, `0`. Throws CliError for anything else: a bare number is not a duration. */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text)
    throw usageError(`'${text}' is no duration.`, "Write it with a unit, such as 500ms, 10s, 5m, 1h30m.");
  return Math.round(parts.reduce((sum, [, number, unit]) => sum + Number(number) * (unitMs[unit ?? ""] ?? 0), 0));
}
