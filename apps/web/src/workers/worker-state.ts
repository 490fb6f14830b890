import { WorkerLinkState, type WorkerLink, type WorkerRecord, type WorkerVitals } from "@signalbox/protocol";
import { clock, duration, plural, unknown } from "../ui/format.ts";
import type { LampLook } from "../ui/lamp.ts";

/** The words for workers. `Left` is one that was stopped on purpose: it is folded away. */
export type WorkerWord = "Connected" | "Silent" | "Lost" | "Draining" | "Left";

/** Shape and colour of each word's lamp. */
export const workerLooks: Readonly<Record<WorkerWord, LampLook>> = {
  Connected: { shape: "running", tone: "go" },
  Silent: { shape: "silent", tone: "wait" },
  Lost: { shape: "lost", tone: "lost" },
  Draining: { shape: "draining", tone: "wait" },
  Left: { shape: "canceled", tone: "idle" },
};

/** After so long without a word the server gives a worker up, as `WorkerLinkState` says. Milliseconds. */
export const leaseMs = 15_000;
/** After so long it is called silent. Milliseconds. */
const silentAfterMs = 10_000;
/** A worker with nothing to do that has not been heard for so long is folded away with those that left. Milliseconds. */
const goneAfterMs = 86_400_000;
/** From here on a clock that is wrong is worth a word, and from there on a warning. Milliseconds. */
const clockWorthSayingMs = 100;
const clockBadMs = 2_000;

/** What to call a worker's state. What was heard of it goes before what was asked of it. */
export function workerWord(record: WorkerRecord, vitals: WorkerVitals | undefined): WorkerWord {
  if (record.leftAtUs > 0n) return "Left";
  if (vitals?.link?.state === WorkerLinkState.LOST) return "Lost";
  // A stream that has just closed is no connection, although its last word is not old yet.
  if (!vitals?.connected || vitals.link?.state !== WorkerLinkState.CONNECTED) return "Silent";
  return record.drain ? "Draining" : "Connected";
}

/** Whether jobs can be given to the worker: it does not drain, and there is a stream to give them on. */
export function takesWork(record: WorkerRecord, vitals: WorkerVitals | undefined): boolean {
  const word = workerWord(record, vitals);
  return (word === "Connected" || word === "Silent") && vitals?.connected === true && !record.drain;
}

/** The vitals of a worker, or those of a job that it runs: both say how it is heard. */
export interface Heard {
  readonly link?: WorkerLink | undefined;
}

/** When the worker was heard last, milliseconds since the Unix epoch; undefined if never in this server's life. */
export function heardMs(vitals: Heard | undefined): number | undefined {
  const us = vitals?.link?.heardAtUs ?? 0n;
  return us > 0n ? Number(us) / 1000 : undefined;
}

/** Whether the worker is a thing of the past: it left, or has nothing to do and was not heard for a day. */
export function isGone(record: WorkerRecord, vitals: WorkerVitals | undefined, nowMs: number): boolean {
  const word = workerWord(record, vitals);
  if (word === "Left") return true;
  if ((word !== "Lost" && word !== "Silent") || (vitals?.attempts.length ?? 0) > 0) return false;
  return nowMs - Math.max(heardMs(vitals) ?? 0, Number(record.connectedAtUs) / 1000) > goneAfterMs;
}

/** `2 s`, `2 m 40 s`: whole seconds, for clocks that run beside each other. */
export function seconds(ms: number): string {
  return ms < 9_950 ? `${Math.floor(Math.max(0, ms) / 1000)}\u00a0s` : duration(Math.floor(ms / 1000) * 1000);
}

/**
 * How long ago the worker was heard, for a column. Not every sign of life is told: as long as the server says that it hears the worker,
 * it is less than what makes a worker silent.
 */
export function heardAgo(vitals: Heard | undefined, nowMs: number): string {
  const heard = heardMs(vitals);
  if (heard === undefined) return unknown;
  if (vitals?.link?.state === WorkerLinkState.CONNECTED && nowMs - heard >= silentAfterMs)
    return `< ${seconds(silentAfterMs)}`;
  return seconds(nowMs - heard);
}

/**
 * What the worker's clocks say: for one that is not heard, since when and what follows; for one that drains, what it still has to do.
 * Empty where nothing is to be said. `nowMs` is the server's clock.
 */
export function workerClock(record: WorkerRecord, vitals: WorkerVitals | undefined, nowMs: number): string {
  const heard = heardMs(vitals);
  switch (workerWord(record, vitals)) {
    case "Left":
      return `left ${clock(Number(record.leftAtUs), nowMs)}`;
    case "Lost":
      return heard === undefined ? neverHeard : lostText(heard, nowMs);
    case "Silent":
      return heard === undefined ? neverHeard : silentText(heard, vitals?.connected === true, nowMs);
    case "Draining":
      return drainText(vitals);
    case "Connected":
      return "";
  }
}

const neverHeard = "not heard since the server started";

function lostText(heardMs: number, nowMs: number): string {
  const lostMs = heardMs + leaseMs;
  return `lost for ${seconds(nowMs - lostMs)}, since ${clock(lostMs * 1000, nowMs)}`;
}

function silentText(heardMs: number, connected: boolean, nowMs: number): string {
  const silence = connected
    ? `silent for ${seconds(nowMs - heardMs)}`
    : `link closed, heard ${seconds(nowMs - heardMs)} ago`;
  const left = heardMs + leaseMs - nowMs;
  return left > 0 ? `${silence}, lost in ${seconds(left + 999)}` : silence;
}

/** The state of a link in a word. */
export function linkWord({ state }: WorkerLink): "connected" | "silent" | "lost" {
  if (state === WorkerLinkState.LOST) return "lost";
  return state === WorkerLinkState.SILENT ? "silent" : "connected";
}

/** How the worker of a job is heard: `connected, heard 0.4 s ago`. `nowMs` is the server's clock. */
export function linkText(link: WorkerLink, nowMs: number): string {
  const heard = heardMs({ link });
  if (heard === undefined) return neverHeard;
  switch (link.state) {
    case WorkerLinkState.LOST:
      return lostText(heard, nowMs);
    case WorkerLinkState.SILENT:
      return silentText(heard, true, nowMs);
    default:
      return `connected, heard ${heardAgo({ link }, nowMs)} ago`;
  }
}

/** What a draining worker still has to do. */
function drainText(vitals: WorkerVitals | undefined): string {
  const jobs = vitals?.attempts.length ?? 0;
  return jobs === 0 ? "runs nothing, can be stopped" : `${plural(jobs, "job")} to end`;
}

/** Who drained it and why: `by ana 12 m 05 s ago, “disk swap”`. */
export function drainedBy(record: WorkerRecord, nowMs: number): string {
  const { drain } = record;
  if (!drain) return "";
  const reason = drain.reason ? `, “${drain.reason}”` : "";
  return `by ${drain.actor?.name || "somebody"} ${seconds(nowMs - Number(drain.atUs) / 1000)} ago${reason}`;
}

/** How far the worker's clock is off, in words, and whether that is bad; undefined if it is not worth saying. */
export function clockText(vitals: WorkerVitals | undefined): { text: string; bad: boolean } | undefined {
  if (!vitals || vitals.link === undefined) return undefined;
  const offsetMs = Number(vitals.clockOffsetUs) / 1000;
  if (Math.abs(offsetMs) < clockWorthSayingMs) return undefined;
  const side = offsetMs > 0 ? "behind" : "ahead";
  return {
    text: `${duration(Math.abs(offsetMs))} ${side}, times of lines are corrected`,
    bad: Math.abs(offsetMs) >= clockBadMs,
  };
}

/** `2.1 ms`, `18 ms`, `1.2 s`: the round trip of the newest heartbeat; a dash if none is known. */
export function roundTrip(vitals: Heard | undefined): string {
  const us = vitals?.link?.roundTripUs ?? 0;
  if (us === 0) return unknown;
  const ms = us / 1000;
  if (ms >= 999.5) return duration(ms);
  return `${ms < 9.95 ? ms.toFixed(1) : String(Math.round(ms))}\u00a0ms`;
}

/** Processes before this one under the same name. */
export function restarts(record: WorkerRecord): number {
  return Math.max(0, Number(record.epoch) - 1);
}
