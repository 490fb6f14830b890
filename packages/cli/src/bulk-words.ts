import {
  BulkState,
  JobState,
  RunMode,
  type BulkCommand,
  type BulkCount,
  type BulkRecord,
  type PreviewBulkResponse,
} from "@signalbox/protocol";
import { duration, exact, plural } from "@signalbox/protocol/format";
import { leverWords, valueWords } from "./lever-values.ts";
import { sanitise } from "./sanitise.ts";

// Commands to many in words.

const states: Readonly<Record<JobState, string>> = {
  [JobState.UNSPECIFIED]: "unknown",
  [JobState.QUEUED]: "waiting",
  [JobState.RUNNING]: "running",
  [JobState.PAUSED]: "paused",
  [JobState.SUCCEEDED]: "succeeded",
  [JobState.FAILED]: "failed",
  [JobState.CANCELED]: "canceled",
  [JobState.LOST]: "lost",
};

/** What jobs get: `cancel, 10.0 s grace`, `speed 20 /s for 10 min`, `retry`. */
export function commandWords(command: BulkCommand | undefined): string {
  const { action, hold } = command ?? {};
  if (action?.case === "retry") return "retry";
  if (action?.case !== "set") return "";
  const { value } = action.value;
  const what = value.case === "run" || !value.case ? "" : `${leverWords[value.case]} `;
  const set = value.case === "run" && value.value.mode === RunMode.RUN ? "resume" : valueWords(action.value);
  return sanitise(`${what}${set}${hold ? ` for ${duration(Number(hold.durationMs))}` : ""}`);
}

/** The same as something that is about to be done to so many jobs: `Cancels 42 jobs`. */
export function deedWords(command: BulkCommand | undefined, jobs: number): string {
  const { action, hold } = command ?? {};
  const many = plural(jobs, "job");
  const time = hold ? ` for ${duration(Number(hold.durationMs))}` : "";
  if (action?.case === "retry") return `Retries ${many}`;
  if (action?.case !== "set") return many;
  const { value } = action.value;
  if (value.case === "run") {
    const { mode } = value.value;
    return `${mode === RunMode.CANCEL ? "Cancels" : mode === RunMode.PAUSE ? "Pauses" : "Resumes"} ${many}${time}`;
  }
  return sanitise(`Sets ${value.case ? leverWords[value.case] : ""} ${valueWords(action.value)} on ${many}${time}`);
}

/** What a preview says, in lines. */
export function previewLines(preview: PreviewBulkResponse, command: BulkCommand): string[] {
  const count = ({ state, jobs, reason }: BulkCount) =>
    `  ${exact(jobs).padStart(6)} ${states[state]}${reason && reason !== `${states[state]} already` ? `: ${sanitise(reason)}` : ""}`;
  const lines = [`${deedWords(command, preview.touchedTotal)}:`, ...preview.touched.map(count)];
  if (preview.touchedTotal === 0) lines.splice(0, 1, "Nothing to do.");
  if (preview.skippedTotal > 0)
    lines.push(`Skips ${plural(preview.skippedTotal, "job")}:`, ...preview.skipped.map(count));
  return lines;
}

/** How far commands to many have come; `leftMs` is what is left of the hold. */
export function progressWords(bulk: BulkRecord, touched: number, leftMs: number): string {
  if (bulk.state === BulkState.HELD)
    return `${deedWords(bulk.command, touched)} in ${Math.max(0, Math.ceil(leftMs / 1000))} s; Ctrl+C undoes`;
  return `${exact(doneOf(bulk))} of ${plural(bulk.jobsTotal, "job")}; Ctrl+C stops`;
}

/** How many jobs have had their turn. */
export function doneOf({ accepted, skipped, refused }: BulkRecord): number {
  return accepted + skipped + refused;
}

/** A state in a word. */
export function bulkStateWord(state: BulkState): string {
  return ["", "held", "running", "done", "undone", "stopped"][state] ?? "";
}

/** What became of commands to many, in a line. */
export function summaryWords(bulk: BulkRecord): string {
  const { state, accepted, skipped, refused, jobsTotal, id } = bulk;
  if (state === BulkState.UNDONE) return `Taken back: no job has noticed. (${id})`;
  const counts = [`${exact(accepted)} of ${plural(jobsTotal, "job")} took it`];
  if (skipped > 0) counts.push(`${exact(skipped)} skipped`);
  if (refused > 0) counts.push(`${exact(refused)} refused`);
  const left = jobsTotal - doneOf(bulk);
  if (left > 0) counts.push(`${exact(left)} spared`);
  return `${state === BulkState.STOPPED ? "Stopped half-way: " : ""}${counts.join(", ")}. (${id})`;
}
