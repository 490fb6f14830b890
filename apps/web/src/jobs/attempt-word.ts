import { EndOutcome, type Attempt, type JobRecord } from "@signalbox/protocol";
import { seenState, type StateWord } from "./job-state.ts";

/** The word for how an attempt is or ended: of the one that is open, the job's. */
export function attemptWord(job: JobRecord, attempt: Attempt): StateWord {
  if (attempt.endedAtUs === 0n) return seenState(job).word;
  switch (attempt.end?.outcome) {
    case EndOutcome.SUCCEEDED:
      return "Succeeded";
    case EndOutcome.CANCELED:
      return "Canceled";
    case EndOutcome.GIVEN_UP:
      return "Lost";
    case EndOutcome.RELEASED:
    case EndOutcome.DECLINED:
      return "Waiting";
    default:
      return "Failed";
  }
}
