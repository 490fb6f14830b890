/** The key of an attempt in tables. */
export function attemptKey({ jobId, attempt }: { jobId: string; attempt: number }): string {
  return `${jobId}/${attempt}`;
}
