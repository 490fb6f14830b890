/** The next rounder speed above or below `now`, items per second: 1, 2, 5, 10, 20, 50 … 1,000,000. `now` itself need not be one of them. */
export function stepSpeed(now: number, direction: 1 | -1): number {
  const steps: number[] = [];
  for (let power = 1; power <= 100_000; power *= 10) steps.push(power, 2 * power, 5 * power);
  steps.push(1_000_000);
  if (direction > 0) return steps.find((step) => step > now) ?? now;
  return steps.findLast((step) => step < now) ?? now;
}

/** Reads what somebody typed as a speed: a number above 0, with , or . as decimal sign; undefined if it is none. */
export function parseSpeed(text: string): number | undefined {
  const value = Number(text.trim().replace(",", "."));
  return Number.isFinite(value) && value > 0 && value <= 1_000_000 && text.trim() !== "" ? value : undefined;
}
