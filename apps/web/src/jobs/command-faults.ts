import { ConnectError } from "@connectrpc/connect";
import { RunMode, type JobRecord, type LeverValue } from "@signalbox/protocol";
import { isInDoubt, refusalText } from "../live/refusal.ts";
import { duration } from "../ui/format.ts";
import { capital } from "../ui/words.ts";
import { setting, type LeverName } from "./job-state.ts";
import { didWhat } from "./lever-words.ts";

// What is said of commands that did not happen.

/** Somebody else moved the lever between the look and the click. The message says who. Times in milliseconds of the server's clock. */
export class MovedBefore extends Error {
  override readonly name = "MovedBefore";

  constructor(job: JobRecord, lever: LeverName, clickedMs: number) {
    const now = setting(job, lever);
    const receipt = job.receipts.find((each) => each.generation === now?.generation);
    const who = receipt?.actor?.name || "Somebody";
    const beforeMs = receipt ? clickedMs - Number(receipt.acceptedAtUs) / 1000 : undefined;
    // Who came between the click and the server came at the same moment, as people see it.
    const ago = beforeMs === undefined ? "" : beforeMs < 50 ? " just before you" : ` ${duration(beforeMs)} before you`;
    super(
      `${capital(who)} ${now?.value ? movedIt(now.value, receipt?.before) : "moved it"}${ago}. Your click changed nothing.`,
    );
  }
}

/** A command of which nobody knows whether the server took it: its receipt tells, should there be one. */
export class Unconfirmed extends Error {
  override readonly name = "Unconfirmed";
  readonly requestId: string;

  constructor(requestId: string, cause: unknown) {
    super(refusalText(cause), { cause });
    this.requestId = requestId;
  }

  /** What a failed command means: itself, unless it may have happened. */
  static from(error: unknown, requestId: string): unknown {
    return isInDoubt(error) ? new Unconfirmed(requestId, error) : error;
  }
}

function movedIt(value: LeverValue, before: LeverValue | undefined): string {
  // Of parameters only those that differ are news.
  if (value.value.case === "parameters") return didWhat(value, before);
  if (value.value.case !== "run") return didWhat(value);
  const { mode } = value.value.value;
  return mode === RunMode.PAUSE ? "paused it" : mode === RunMode.RUN ? "resumed it" : "cancelled it";
}

/** What to press to do it all the same: `Pause anyway`. */
export function againLabel(value: LeverValue): string {
  if (value.value.case !== "run") return "Set anyway";
  const { mode } = value.value.value;
  return `${mode === RunMode.PAUSE ? "Pause" : mode === RunMode.RUN ? "Resume" : "Cancel"} anyway`;
}

/** Why a command did not happen. */
export function faultText(error: unknown): string {
  return error instanceof MovedBefore || error instanceof Unconfirmed
    ? error.message
    : refusalText(ConnectError.from(error));
}

/** What did not happen to a lever. */
export function faultTitle(value: LeverValue): string {
  switch (value.value.case) {
    case "run":
      if (value.value.value.mode === RunMode.PAUSE) return "Not paused";
      return value.value.value.mode === RunMode.RUN ? "Not resumed" : "Not cancelled";
    case "speed":
      return "Speed not changed";
    case "logLevel":
      return "Log level not changed";
    case "priority":
      return "Priority not changed";
    default:
      return "Parameters not changed";
  }
}
