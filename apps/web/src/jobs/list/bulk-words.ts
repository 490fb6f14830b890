import { BulkOutcome, BulkState, type BulkRecord, type BulkResult } from "@signalbox/protocol";
import { exact, plural } from "../../ui/format.ts";
import type { LampLook } from "../../ui/lamp.ts";
import { bulkVerbs, verbOf } from "./bulk-verbs.ts";

// What is said of commands to many.

/** The verb of commands to many as a button has it: `Cancel`. */
export function bulkVerb(bulk: BulkRecord): string {
  const verb = verbOf(bulk.command);
  return verb ? bulkVerbs[verb].verb : "Command";
}

/**
 * `ana cancels 10 of 12 jobs`, where it is known how many are `meant` to change, else `ana cancels up to 12 jobs`: those that stand so already
 * are skipped. When that is over, `Cancel of 12 jobs by ana`.
 */
export function bulkTitle(bulk: BulkRecord, meant?: number): string {
  const verb = verbOf(bulk.command);
  const who = bulk.actor?.name || "Somebody";
  if (bulk.state !== BulkState.HELD && bulk.state !== BulkState.RUNNING)
    return `${bulkVerb(bulk)} of ${plural(bulk.jobsTotal, "job")} by ${who}`;
  const all = plural(bulk.jobsTotal, "job");
  const jobs = meant === undefined ? `up to ${all}` : meant < bulk.jobsTotal ? `${exact(meant)} of ${all}` : all;
  return `${who} ${verb ? bulkVerbs[verb].doing : "commands"} ${jobs}`;
}

/** How it stands, in a lamp. */
export function bulkLook(bulk: BulkRecord): LampLook & { readonly word: string } {
  switch (bulk.state) {
    case BulkState.HELD:
      return { shape: "waiting", tone: "wait", word: "Held" };
    case BulkState.RUNNING:
      return { shape: "moving", tone: "go", word: "Sending" };
    case BulkState.DONE:
      return bulk.refused > 0
        ? { shape: "failed", tone: "stop", word: "Refused in part" }
        : { shape: "succeeded", tone: "done", word: "Sent" };
    case BulkState.UNDONE:
      return { shape: "canceled", tone: "idle", word: "Undone" };
    default:
      return { shape: "canceled", tone: "wait", word: "Stopped" };
  }
}

/** Where it stands, in words. `nowMs` is the server's clock. */
export function bulkProgress(bulk: BulkRecord, nowMs: number): string {
  const { state, jobsTotal, accepted, skipped, refused } = bulk;
  const done = accepted + skipped + refused;
  const by = bulk.endedBy?.name || "somebody";
  switch (state) {
    case BulkState.HELD:
      return `in ${Math.max(0, Math.ceil((Number(bulk.heldUntilUs) / 1000 - nowMs) / 1000))} s`;
    case BulkState.RUNNING:
      return `${exact(done)} of ${exact(jobsTotal)}${parts(bulk)}`;
    case BulkState.UNDONE:
      return `undone by ${by}, no job has noticed`;
    case BulkState.STOPPED:
      return `stopped by ${by} after ${exact(done)} of ${exact(jobsTotal)}, the rest got nothing${parts(bulk)}`;
    default:
      return `accepted by ${exact(accepted)} of ${exact(jobsTotal)}${parts(bulk)}`;
  }
}

/** What was selected, if that says more than how many; else empty. */
export function bulkSelection({ selectionWords }: BulkRecord): string {
  return /^\d+ selected jobs?$/.test(selectionWords) ? "" : selectionWords;
}

/** The share that has had its turn, 0 to 1. */
export function bulkShare({ jobsTotal, accepted, skipped, refused }: BulkRecord): number {
  return jobsTotal === 0 ? 1 : (accepted + skipped + refused) / jobsTotal;
}

function parts({ skipped, refused }: BulkRecord): string {
  return `${skipped > 0 ? ` · ${exact(skipped)} skipped` : ""}${refused > 0 ? ` · ${exact(refused)} refused` : ""}`;
}

/** What became of several jobs for the same reason. */
export interface ResultGroup {
  readonly title: string;
  readonly reason: string;
  readonly results: readonly BulkResult[];
}

const outcomes = [
  { outcome: BulkOutcome.REFUSED, title: "Refused" },
  { outcome: BulkOutcome.SKIPPED, title: "Skipped" },
  { outcome: BulkOutcome.ACCEPTED, title: "Accepted" },
] as const;

/** Groups results by what became of the jobs and why, those that did not take the command first. */
export function groupResults(all: readonly BulkResult[]): ResultGroup[] {
  return outcomes.flatMap(({ outcome, title }) => {
    const groups = new Map<string, BulkResult[]>();
    for (const result of all) {
      if (result.outcome !== outcome) continue;
      const group = groups.get(result.reason);
      if (group) group.push(result);
      else groups.set(result.reason, [result]);
    }
    return [...groups].map(([reason, results]) => ({ title, reason, results }));
  });
}
