import { ConnectError } from "@connectrpc/connect";
import { RunMode, type JobRecord, type LeverValue } from "@signalbox/protocol";
import { refusalText } from "../live/refusal.ts";
import { duration } from "../ui/format.ts";
import { setting, type LeverName } from "./job-state.ts";
import { didWhat } from "./lever-words.ts";

// What is said of commands that did not happen.

/** Somebody else moved the lever between the look and the click. The message says who. */
export class MovedBefore extends Error {
  constructor(job: JobRecord, lever: LeverName) {
    const now = setting(job, lever);
    const receipt = job.receipts.find((each) => each.generation === now?.generation);
    const who = receipt?.actor?.name ?? "Somebody";
    const what = now?.value ? didWhat(now.value) : "moved it";
    const ago = receipt ? ` ${duration(Math.max(0, Date.now() - Number(receipt.acceptedAtUs) / 1000))} before you` : "";
    super(`${who} ${what}${ago}. Your click changed nothing.`);
  }
}

/** Why a command did not happen. */
export function faultText(error: unknown): string {
  return error instanceof MovedBefore ? error.message : refusalText(ConnectError.from(error));
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
