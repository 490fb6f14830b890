import {
  JobState,
  ReceiptState,
  RunMode,
  type Attempt,
  type JobRecord,
  type LeverValue,
  type Receipt,
} from "./gen/signalbox/v1/job_pb.ts";

/** The words for states. There are no others. */
export type StateWord =
  | "Waiting"
  | "Starting"
  | "Running"
  | "Pausing"
  | "Paused"
  | "Resuming"
  | "Cancelling"
  | "Canceled"
  | "Succeeded"
  | "Failed"
  | "Lost";

/** A job's state as it is seen: what was observed, and where what was asked differs, that it is in between. */
export interface SeenState {
  readonly word: StateWord;
  /** The job has reached its end. */
  readonly ended: boolean;
  /** Asked and seen differ: something is under way. */
  readonly between: boolean;
}

/** What to call a job's state, from what was observed (state, attempts) and what is wanted (spec). Never says more than was observed. */
export function seenState(job: JobRecord): SeenState {
  const wanted = wantedRun(job);
  const taken = currentAttempt(job);
  switch (job.state) {
    case JobState.SUCCEEDED:
      return ended("Succeeded");
    case JobState.FAILED:
      return ended("Failed");
    case JobState.CANCELED:
      return ended("Canceled");
    case JobState.LOST:
      return still("Lost");
    case JobState.RUNNING:
      if (wanted === RunMode.CANCEL) return between("Cancelling");
      return wanted === RunMode.PAUSE ? between("Pausing") : still("Running");
    case JobState.PAUSED:
      if (wanted === RunMode.CANCEL) return between("Cancelling");
      return wanted === RunMode.PAUSE ? still("Paused") : between("Resuming");
    default:
      if (!taken) return still("Waiting");
      return between(wanted === RunMode.CANCEL ? "Cancelling" : "Starting");
  }
}

/** The attempt that is assigned or runs; undefined if the newest one has ended or there is none. */
export function currentAttempt(job: JobRecord): Attempt | undefined {
  const newest = job.attempts.at(-1);
  return newest && newest.endedAtUs === 0n ? newest : undefined;
}

/** What the run lever asks. RUN if it was never set. */
export function wantedRun(job: JobRecord): RunMode {
  const value = setting(job, "run")?.value?.value;
  return value?.case === "run" ? value.value.mode : RunMode.RUN;
}

/** Levers by the name of their field. */
export type LeverName = NonNullable<LeverValue["value"]["case"]>;

/** What is wanted of a lever; undefined if it was never set. */
export function setting(job: JobRecord, lever: LeverName) {
  return job.spec?.levers.find((each) => each.value?.value.case === lever);
}

/** The worker's newest word on a lever in the newest attempt; undefined if it has not spoken of it. */
export function report(job: JobRecord, lever: LeverName) {
  return job.attempts.at(-1)?.levers.find((each) => each.value?.value.case === lever);
}

/** The newest receipt of a lever that the record still holds. */
export function newestReceipt(job: JobRecord, lever: LeverName): Receipt | undefined {
  let newest: Receipt | undefined;
  for (const receipt of job.receipts)
    if (receipt.value?.value.case === lever && (!newest || receipt.generation > newest.generation)) newest = receipt;
  return newest;
}

/** Whether a command is neither decided nor dropped. */
export function isOpen(receipt: Receipt): boolean {
  return receipt.state === ReceiptState.ACCEPTED || receipt.state === ReceiptState.DELIVERED;
}

/**
 * Whether a command was taken back, or its time ran out, when its worker may have had it: its lever is back under the generation that
 * `supersededBy` names, and the worker's word decides what became of it.
 */
export function isInDoubt(receipt: Receipt): boolean {
  return isOpen(receipt) && receipt.supersededBy !== 0n;
}

function ended(word: StateWord): SeenState {
  return { word, ended: true, between: false };
}

function still(word: StateWord): SeenState {
  return { word, ended: false, between: false };
}

function between(word: StateWord): SeenState {
  return { word, ended: false, between: true };
}
