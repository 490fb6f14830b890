import {
  EndOutcome,
  JobState,
  RunMode,
  WorkerLinkState,
  type AttemptEnd,
  type JobRecord,
  type Vitals,
} from "./gen/signalbox/v1/job_pb.ts";
import { endWord, exitText, namelessSignal } from "./exit-text.ts";
import { compact, duration, percent } from "./format.ts";
import { currentAttempt, newestReceipt, seenState, setting, wantedRun } from "./job-state.ts";

export { endWord, exitText, namelessSignal };

/** A share of the work, 0 to 1, by items or else by bytes; undefined if no total is known. */
export function share(vitals: Vitals | undefined): number | undefined {
  if (!vitals) return undefined;
  const [done, total] =
    vitals.itemsTotal !== undefined ? [vitals.itemsDone, vitals.itemsTotal] : [vitals.bytesDone, vitals.bytesTotal];
  if (total === undefined || total === 0n) return undefined;
  return Math.min(1, Number(done) / Number(total));
}

/** How to say how long the rest takes: a duration, or that it cannot be told; undefined where nothing is to be said. */
export function eta(job: JobRecord, vitals: Vitals | undefined): string | undefined {
  if (job.state !== JobState.RUNNING || !vitals || share(vitals) === undefined || isSilent(vitals)) return undefined;
  return vitals.etaMs === undefined ? "ETA unsteady" : `ETA ${duration(Number(vitals.etaMs))}`;
}

/** Items a second, measured; undefined where a job has counted none, for then nobody knows whether it moves. */
export function itemRate(vitals: Vitals | undefined): number | undefined {
  if (!vitals) return undefined;
  const { itemsDone, itemsTotal, itemsPerSecond } = vitals;
  return itemsDone > 0n || itemsTotal !== undefined || itemsPerSecond > 0 ? itemsPerSecond : undefined;
}

/** Whether the worker has not been heard for longer than it should: numbers are as old as its last word. */
export function isSilent(vitals: Vitals): boolean {
  return vitals.link?.state === WorkerLinkState.SILENT || vitals.link?.state === WorkerLinkState.LOST;
}

/**
 * `184 k of 300 k files`, `2,000 files`; with `count` exact for the job page. Undefined before the first item of an unknown total, and
 * for a percentage that a program printed (a hundred items without a name): the share says it.
 */
export function itemsDone(vitals: Vitals, count: (value: number) => string = compact): string | undefined {
  if (vitals.itemsTotal === 100n && !vitals.itemNoun) return undefined;
  const noun = vitals.itemNoun || "items";
  const isOne = vitals.itemsTotal === undefined && vitals.itemsDone === 1n;
  if (isOne) return `${count(1)} ${singular(noun)}`;
  if (vitals.itemsTotal !== undefined)
    return `${count(Number(vitals.itemsDone))} of ${count(Number(vitals.itemsTotal))} ${noun}`;
  return vitals.itemsDone > 0n ? `${count(Number(vitals.itemsDone))} ${noun}` : undefined;
}

/** What one of the things is called, as far as its plural shows it. */
function singular(noun: string): string {
  if (/[^aeiou]ies$/.test(noun)) return noun.replace(/ies$/, "y");
  return noun.replace(/(?<=ss|sh|ch|x)es$|(?<=[^s])s$/, "");
}

/** What the progress cell says: a share (drawn as a track) where there is one, and words. `strong` are the words that matter most. */
export interface ProgressText {
  readonly share: number | undefined;
  readonly strong: string;
  readonly text: string;
}

/** Progress, or why the job stands still. `nowMs` is the server's clock. The cell is never empty. */
export function progressText(job: JobRecord, vitals: Vitals | undefined, nowMs: number): ProgressText {
  const done = share(vitals);
  const items = vitals && itemsDone(vitals);
  const { word } = seenState(job);
  const say = (strong: string, text = ""): ProgressText => ({ share: undefined, strong, text });
  switch (word) {
    case "Waiting": {
      if (wantedRun(job) === RunMode.PAUSE) return say("held", ` by ${asker(job)}, resume lets it start`);
      if (job.retryAtUs > 0n) return say(...retryText(job, nowMs));
      return say("", vitals?.waitsFor ? `waits: ${vitals.waitsFor}` : "waits for a worker");
    }
    case "Starting":
      return say("", `given to ${currentAttempt(job)?.workerId ?? "a worker"}, which has not begun yet`);
    case "Succeeded":
      return say("", endText(job, items));
    case "Failed": {
      const end = job.attempts.at(-1)?.end;
      const exit = exitText(end);
      const reason = end?.reason || job.reason || "no reason given";
      return say(exit, exit ? more(reason, end) : reason);
    }
    case "Canceled": {
      const reason = runReason(job);
      const exit = exitText(job.attempts.at(-1)?.end);
      return say(
        "",
        `by ${asker(job)}${done === undefined ? "" : ` at ${percent(done)}`}${reason}${exit ? ` · ${exit}` : ""}`,
      );
    }
    case "Lost":
      return say("", lostText(job, nowMs));
    case "Cancelling":
      return say(...graceText(job, vitals, nowMs));
    case "Pausing":
      return { share: done, strong: "", text: `waits for a safe point, ${sinceAsked(job, nowMs)}` };
    case "Resuming":
      return { share: done, strong: "", text: `waits for the worker, ${sinceAsked(job, nowMs)}` };
    case "Paused":
      return {
        share: done,
        strong: "",
        text: `by ${asker(job)} ${duration(nowMs - Number(job.stateSinceUs) / 1000)} ago${runReason(job)}`,
      };
    case "Running": {
      if (vitals?.link && isSilent(vitals))
        return {
          share: done,
          strong: "",
          text: `worker silent ${duration(nowMs - Number(vitals.link.heardAtUs) / 1000)}`,
        };
      if (vitals?.stalledBy) return { share: done, strong: "stands", text: `: ${vitals.stalledBy}` };
      if (done === undefined)
        return say("", items ? `no total declared · ${items}` : vitals?.phase || "no progress reported yet");
      return { share: done, strong: "", text: [eta(job, vitals), items].filter(Boolean).join(" · ") };
    }
  }
}

/** Why the job stands although it should run and its worker is heard; empty if it does not. */
export function stalledBy(job: JobRecord, vitals: Vitals | undefined): string {
  if (!vitals || isSilent(vitals) || vitals.attempt !== currentAttempt(job)?.number) return "";
  return seenState(job).word === "Running" ? vitals.stalledBy : "";
}

/** When the newest attempt began, microseconds since the Unix epoch; that of the job if no attempt of its own is known; 0 if none has. */
export function beganAtUs(job: JobRecord): number {
  return Number(job.attempts.at(-1)?.startedAtUs || job.startedAtUs);
}

/** Errors and fatal lines so far. */
export function errorLines(vitals: Vitals | undefined): number {
  return Number(vitals?.levelCounts[5] ?? 0n) + Number(vitals?.levelCounts[6] ?? 0n);
}

/** How long the grace of a cancel lasts yet, milliseconds; undefined if the worker has not got it or there is none. */
export function graceLeftMs(job: JobRecord, nowMs: number): number | undefined {
  const run = setting(job, "run")?.value?.value;
  const receipt = newestReceipt(job, "run");
  if (run?.case !== "run" || run.value.mode !== RunMode.CANCEL || !receipt) return undefined;
  const fromUs = receipt.deliveredAtUs || receipt.acceptedAtUs;
  return Math.max(0, run.value.graceMs - (nowMs - Number(fromUs) / 1000));
}

function graceText(job: JobRecord, vitals: Vitals | undefined, nowMs: number): [strong: string, text: string] {
  const run = setting(job, "run")?.value?.value;
  const leftMs = graceLeftMs(job, nowMs);
  const graceMs = run?.case === "run" ? run.value.graceMs : 0;
  const phase = vitals?.phase ? ` · ${vitals.phase}` : "";
  if (leftMs === undefined || graceMs === 0) return ["", `waits for the worker, ${sinceAsked(job, nowMs)}${phase}`];
  if (leftMs === 0) return ["", `grace of ${duration(graceMs)} is over, waits for the worker's word${phase}`];
  // A program is killed, a function can only be given up; the record alone does not tell which it is.
  return [`ends by itself within ${duration(leftMs)}`, `, then killed or given up${phase}`];
}

/** When the next attempt begins, which try it is, and how the one before ended. */
function retryText(job: JobRecord, nowMs: number): [strong: string, text: string] {
  const leftMs = Number(job.retryAtUs) / 1000 - nowMs;
  const most = job.retry?.mostAttempts ?? 0;
  const which = most > 0 ? `, ${job.tries + 1} of ${most}` : "";
  const end = job.attempts.at(-1)?.end;
  const exit = exitText(end);
  const reason = end?.reason || job.reason;
  const before = exit ? exit + more(reason, end) : reason;
  return [leftMs > 0 ? `next try in ${duration(leftMs)}` : "next try now", which + (before ? ` · ${before}` : "")];
}

/** What a reason says beyond the exit that stands before it. */
function more(reason: string, end: AttemptEnd | undefined): string {
  if (reason === `exit code ${end?.exitCode}`) return "";
  const signal = `ended by ${end?.signal}`;
  return end?.signal && reason.startsWith(signal) ? reason.slice(signal.length) : `, ${reason}`;
}

function lostText(job: JobRecord, nowMs: number): string {
  const lostAtUs = currentAttempt(job)?.lostAtUs ?? 0n;
  const since = lostAtUs > 0n ? ` ${duration(nowMs - Number(lostAtUs) / 1000)} ago` : "";
  const pending = wantedRun(job) === RunMode.CANCEL ? " · cancel pending, death not verified" : "";
  return `${job.reason || "worker not heard, its lease ran out"}${since}${pending}`;
}

function endText(job: JobRecord, items: string | undefined): string {
  const end = job.attempts.at(-1)?.end;
  const beganUs = beganAtUs(job);
  const ran = beganUs > 0 ? ` in ${duration((Number(job.endedAtUs) - beganUs) / 1000)}` : "";
  const exit = exitText(end);
  if (end?.outcome !== EndOutcome.SUCCEEDED) return job.reason || "ended";
  return join(exit && items ? `${exit} · ` : exit, items ?? (exit ? "" : "done")) + ran;
}

function asker(job: JobRecord): string {
  return newestReceipt(job, "run")?.actor?.name || "somebody";
}

function runReason(job: JobRecord): string {
  const run = setting(job, "run")?.value?.value;
  return run?.case === "run" && run.value.reason ? `, “${run.value.reason}”` : "";
}

function sinceAsked(job: JobRecord, nowMs: number): string {
  const receipt = newestReceipt(job, "run");
  return receipt ? duration(nowMs - Number(receipt.acceptedAtUs) / 1000) : "asked before";
}

function join(before: string, after: string): string {
  return before + after;
}
