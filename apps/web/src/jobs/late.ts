import { EndOutcome, type Attempt, type AttemptEnd, type JobRecord, type LateEvidence } from "@signalbox/protocol";
import { clock } from "../ui/format.ts";
import { exitText } from "./progress.ts";

/** What came of an attempt after it had ended for the room; undefined if nothing did. */
export function lateOf(job: JobRecord, attempt: number | undefined): LateEvidence | undefined {
  return job.late.find((each) => each.attempt === attempt);
}

/** How the room ended the attempt without its worker's word: `the attempt was given up`. */
export function endedHow(attempt: Attempt | undefined): string {
  return attempt?.end?.outcome === EndOutcome.GIVEN_UP
    ? "the attempt was given up"
    : "the attempt had ended for the room";
}

/** How an attempt ended by its worker's own word: `the process ended with exit code 0`. */
export function ownWord(end: AttemptEnd): string {
  if (end.signal) return `the process was ended by ${exitText(end).split(", ").at(-1) ?? end.signal}`;
  if (end.exitCode !== undefined) return `the process ended with exit code ${end.exitCode}`;
  const reason = end.reason ? `: ${end.reason}` : "";
  switch (end.outcome) {
    case EndOutcome.SUCCEEDED:
      return "the worker says that it succeeded";
    case EndOutcome.CANCELED:
      return `the worker says that it was canceled${reason}`;
    case EndOutcome.RELEASED:
      return `the worker says that it released it${reason}`;
    case EndOutcome.DECLINED:
      return `the worker says that it declined it${reason}`;
    default:
      return `the worker says that it failed${reason}`;
  }
}

/**
 * The whole sentence, without its end: `the process ended with exit code 0 at 18:06:51, after the attempt was given up`. With `saidAfter`
 * that last part was said before and is left out. `nowMs` is the server's clock.
 */
export function lateEndText(end: AttemptEnd, attempt: Attempt | undefined, nowMs: number, saidAfter = false): string {
  const at = `${ownWord(end)} at ${clock(Number(end.atUs), nowMs)}`;
  if (attempt && end.atUs < attempt.endedAtUs) return `${at}, before ${endedHow(attempt)}`;
  return saidAfter ? at : `${at}, after ${endedHow(attempt)}`;
}
