import type { JobRecord } from "@signalbox/protocol";
import { isOpen } from "./job-state.ts";

/**
 * Whether `job` is an older state of the job than `known`, as far as a record tells. An answer to a command and the stream's word on the
 * same job overtake each other.
 */
export function isOlder(job: JobRecord, known: JobRecord): boolean {
  // Records inside entries have no position.
  if (job.entryPosition > 0n && known.entryPosition > 0n) return job.entryPosition < known.entryPosition;
  const [mine, theirs] = [steps(job), steps(known)];
  for (const [index, step] of mine.entries()) {
    const other = theirs[index] ?? 0n;
    if (step !== other) return step < other;
  }
  return false;
}

/** What only rises in the life of a job, as long as all before it stays as it is. */
function steps(job: JobRecord): bigint[] {
  const attempt = job.attempts.at(-1);
  const levers = attempt?.levers ?? [];
  return [
    job.spec?.generation ?? 0n,
    BigInt(attempt?.number ?? 0),
    attempt?.endedAtUs ?? 0n,
    attempt?.receivedGeneration ?? 0n,
    levers.reduce((sum, { generation }) => sum + generation, 0n),
    levers.reduce((sum, { outcome }) => sum + BigInt(outcome), 0n),
    -BigInt(job.receipts.filter(isOpen).length),
    job.stateSinceUs,
  ];
}
