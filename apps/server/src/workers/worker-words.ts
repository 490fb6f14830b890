import { clone, create, toBinary, type JsonObject } from "@bufbuild/protobuf";
import {
  AttemptReportSchema,
  LeverOutcome,
  WorkerLinkSchema,
  type AttemptReport,
  type AttemptVitals,
  type LeverReport,
  type Vitals,
  type WorkerLink,
  type WorkerLinkState,
} from "@signalbox/protocol";
import { clip } from "../clip.ts";
import { checkLeverValue } from "../jobs/levers.ts";
import { jsonText } from "../json-text.ts";
import { Refused } from "../refused.ts";
import { figuresOfLink } from "./link-figures.ts";
import type { WorkerSession } from "./worker-session.ts";

const largestCheckpoint = 64 * 1024;
const largestResults = 16 * 1024;
const largestReport = 256 * 1024;
const mostLevers = 32;
const longestReason = 500;
const longestEndReason = 2000;
const longestSignal = 40;
const longestPhase = 200;
const fastestRate = 1e12;
/** Readers count in doubles. */
const mostRedactions = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A worker's report in the form in which it is folded and stored: words that are too long are cut. Throws Refused for one that is too
 * large to be stored, since nothing of it can be left out.
 */
export function checkReport(report: AttemptReport): AttemptReport {
  const { jobId, attempt, checkpoint, levers } = report;
  const fault = (what: string) =>
    new Refused("invalid", `The report on attempt ${attempt} of job ${jobId.slice(0, 100)} ${what}.`);
  if (checkpoint.length > largestCheckpoint)
    throw fault(`has a checkpoint of ${checkpoint.length} bytes, at most ${largestCheckpoint} are allowed`);
  if (levers.length > mostLevers) throw fault(`has ${levers.length} levers, at most ${mostLevers} are allowed`);
  const bounded = clone(AttemptReportSchema, report);
  delete bounded.$unknown;
  for (const lever of bounded.levers) {
    lever.reason = clip(lever.reason, longestReason);
    const what = leverFault(lever);
    if (what) throw fault(`says of a lever what it cannot be: ${what}`);
  }
  if (bounded.end) {
    bounded.end.reason = clip(bounded.end.reason, longestEndReason);
    bounded.end.signal = clip(bounded.end.signal, longestSignal);
  }
  const { results } = bounded.end ?? {};
  if (bounded.end && results) {
    const text = JSON.stringify(results);
    if (!fitsResults(text))
      throw fault(`has results of ${Buffer.byteLength(text)} bytes as JSON, at most ${largestResults} are allowed`);
    bounded.end.results = asJson(text);
  }
  const bytes = toBinary(AttemptReportSchema, bounded).length;
  if (bytes > largestReport) throw fault(`has ${bytes} bytes, at most ${largestReport} are allowed`);
  return bounded;
}

/**
 * Puts what a worker measured into a job's vitals. Whatever it says, the vitals can be encoded and shown: rates are numbers, times are
 * not in the future.
 */
export function setMeasured(vitals: Vitals, measured: AttemptVitals, etaMs: number | undefined, atUs: number): void {
  vitals.itemsDone = measured.itemsDone;
  vitals.bytesDone = measured.bytesDone;
  vitals.itemsPerSecond = rateOf(measured);
  vitals.phase = clip(measured.phase, longestPhase);
  vitals.stalledBy = clip(measured.stalledBy, longestPhase);
  vitals.asOfUs = BigInt(Math.round(atUs));
  const redactions = measured.redactions < mostRedactions ? measured.redactions : mostRedactions;
  if (redactions > vitals.redactions) vitals.redactions = redactions;
  if (measured.results) {
    const text = JSON.stringify(measured.results);
    // What is too long is as if it had not been said: nothing that counts depends on it.
    if (fitsResults(text)) vitals.results = asJson(text);
  }
  setOptional(vitals, "safePointMs", measured.safePointMs);
  setOptional(vitals, "itemsTotal", measured.itemsTotal);
  setOptional(vitals, "bytesTotal", measured.bytesTotal);
  setOptional(vitals, "etaMs", etaMs === undefined ? undefined : BigInt(etaMs));
}

/** The measured rate, items per second; 0 for what is none. */
export function rateOf({ itemsPerSecond }: AttemptVitals): number {
  return itemsPerSecond > 0 ? Math.min(itemsPerSecond, fastestRate) : 0;
}

/** Items that are left, if the total is known and not exceeded. */
export function itemsLeft({ itemsDone, itemsTotal }: AttemptVitals): number | undefined {
  return itemsTotal === undefined || itemsTotal < itemsDone ? undefined : Number(itemsTotal - itemsDone);
}

/** How well a worker is heard: from its session, or with none what was known `before`. */
export function linkOf(
  state: WorkerLinkState,
  session: WorkerSession | undefined,
  before: WorkerLink | undefined,
  now: number,
): WorkerLink {
  return create(WorkerLinkSchema, {
    state,
    heardAtUs: session ? BigInt(now) : (before?.heardAtUs ?? 0n),
    roundTripUs: session?.roundTripUs ?? before?.roundTripUs ?? 0,
    ...(session?.figures ?? figuresOfLink(before)),
  });
}

/** What is wrong with the value that a worker says a lever has: it is stored, shown, and wanted again where a newer one is refused. */
function leverFault({ outcome, value }: LeverReport): string | undefined {
  if (outcome === LeverOutcome.UNSPECIFIED || !value?.value.case) return undefined;
  try {
    checkLeverValue(value);
  } catch (error) {
    if (error instanceof Refused) return error.message.replace(/\.$/, "");
    throw error;
  }
  const parameters = value.value.case === "parameters" ? value.value.value.parameters : undefined;
  return parameters && jsonText(parameters) === undefined
    ? "the parameters hold NaN or an infinity, and JSON has no such numbers"
    : undefined;
}

function fitsResults(text: string): boolean {
  return text.length <= largestResults && Buffer.byteLength(text) <= largestResults;
}

/** Results as they can be stored and shown: protobuf lets numbers through that JSON does not have. */
function asJson(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

/** Sets or removes an optional field: protobuf tells the two apart. */
function setOptional(
  vitals: Vitals,
  key: "safePointMs" | "itemsTotal" | "bytesTotal" | "etaMs",
  value: bigint | undefined,
): void {
  if (value === undefined) delete vitals[key];
  else vitals[key] = value;
}
