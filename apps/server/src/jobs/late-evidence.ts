import { create } from "@bufbuild/protobuf";
import { ActorKind, ActorSchema, type JobRecord } from "@signalbox/protocol";
import { foldLate, type LateNews } from "./fold-late.ts";
import type { Job } from "./job.ts";

/**
 * Stores that something came late of an attempt, as a fact of the job's history. What is known already is not stored again. Resolves with
 * the newest record when that is durable.
 */
export function recordLate(job: Job, attempt: number, news: LateNews): Promise<JobRecord> {
  return job.update((before, now) => {
    const folded = foldLate(before, attempt, news, now);
    if (!folded) return undefined;
    const worker = before.attempts.find(({ number }) => number === attempt);
    return {
      actor: create(ActorSchema, { kind: ActorKind.WORKER, name: worker?.workerId ?? "" }),
      cause: { case: "late", value: folded.late },
      record: folded.record,
    };
  });
}
