/** The middle of some samples, how far they spread (largest minus smallest, as a share of the middle), and all of them. */
export interface Summary {
  readonly median: number;
  readonly spread: number;
  readonly samples: readonly number[];
}

export function summarise(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const median = quantile(sorted, 0.5);
  return { median, spread: ((sorted.at(-1) ?? 0) - (sorted[0] ?? 0)) / median, samples };
}

/** The value below which a share of the sorted samples lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
