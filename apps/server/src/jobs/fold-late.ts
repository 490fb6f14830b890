import { create } from "@bufbuild/protobuf";
import { LateEvidenceSchema, type AttemptEnd, type JobRecord, type LateEvidence } from "@signalbox/protocol";
import { begin, endedUnheard, heardEnd } from "./job-record.ts";

// Late evidence: what comes of an attempt after the room had ended it without its worker's word. See job-fold.ts for the rules of all folds.

/** What came of an attempt: its first late line, or how it ended in truth. */
export type LateNews = { readonly firstLine: number } | { readonly end: AttemptEnd };

/**
 * The record after something came late of an attempt, and what is new in it; undefined if nothing is, or if the attempt is not known or
 * did not end unheard. Neither the state nor the attempt changes by it.
 */
export function foldLate(
  before: JobRecord,
  number: number,
  news: LateNews,
  now: number,
): { record: JobRecord; late: LateEvidence } | undefined {
  const attempt = before.attempts.find((each) => each.number === number);
  if (!attempt || !endedUnheard(attempt)) return undefined;
  const known = before.late.find((each) => each.attempt === number);
  const late = create(LateEvidenceSchema, { attempt: number, atUs: BigInt(now) });
  if ("end" in news) {
    if (known?.end) return undefined;
    late.end = heardEnd(news.end, now);
  } else {
    if (known && known.firstLine !== 0n) return undefined;
    late.firstLine = BigInt(news.firstLine);
  }
  const record = begin(before);
  let all = record.late.find((each) => each.attempt === number);
  if (!all) {
    all = create(LateEvidenceSchema, { attempt: number, atUs: late.atUs });
    record.late = [...record.late, all].sort((a, b) => a.attempt - b.attempt);
  }
  if (late.end) all.end = late.end;
  else all.firstLine = late.firstLine;
  return { record, late };
}
