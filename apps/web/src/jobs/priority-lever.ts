import { ReceiptState, type JobRecord } from "@signalbox/protocol";
import { currentAttempt, newestReceipt, seenState, setting } from "./job-state.ts";
import { onItsWay, type LeverContext, type LeverView } from "./lever-view.ts";
import { priorityOf, priorityText } from "./priority.ts";

/** The priority lever: the place in the queue. It is at rest once a worker has the job, since it moves nothing any more. */
export function priorityLever(job: JobRecord, context: LeverContext): LeverView {
  const asked = context.sent ?? setting(job, "priority")?.value;
  const view = (phase: LeverView["phase"], note: string): LeverView => ({ phase, asked, seen: asked, note });
  if (seenState(job).ended) return view("fixed", "the job has ended");
  if (context.fault) return view("refused", context.fault);
  if (currentAttempt(job)) return view("idle", "orders the queue; this job has left it");
  if (context.sent) return { ...view("moving", onItsWay), seen: setting(job, "priority")?.value };
  const receipt = newestReceipt(job, "priority");
  if (receipt?.state === ReceiptState.APPLIED)
    return view(
      "rest",
      `set by ${receipt.actor?.name || "somebody"}, was ${priorityText(priorityOf(receipt.before)).toLowerCase()}`,
    );
  return view("idle", "higher goes first, then the older job");
}
