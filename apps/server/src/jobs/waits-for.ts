import { EndOutcome, type JobRecord, type Limit } from "@signalbox/protocol";

// What a waiting job waits for, in words for people.

/** Further back a job does not say its place: it would change with every job that leaves the line. */
export const longestLine = 100;
/** So many workers are named where a job says what it waits for. */
const mostNamed = 3;

/** A worker, as far as it is named to a job that waits. */
export interface NamedWorker {
  readonly workerId: string;
  readonly slots: number;
  readonly drained: boolean;
  readonly takesWork: boolean;
}

/** Workers that a job may go to, as far as each condition leaves any. */
export interface WorkersForJob {
  /** Those that the job names, or all. */
  readonly named: readonly NamedWorker[];
  /** Of those, the ones that offer its type. */
  readonly offering: readonly NamedWorker[];
  /** Of those, the ones that have the labels. */
  readonly fitting: readonly NamedWorker[];
}

/** Why no worker takes the job, or why those that take none do not; empty if all of them take work. */
export function restingWords(
  { type, workerId, workerSelector }: JobRecord,
  { named, offering, fitting }: WorkersForJob,
): string {
  if (offering.length === 0) {
    if (workerId === "") return `no worker offers type ${type}`;
    return `worker ${workerId} ${named.length > 0 ? `does not offer type ${type}` : "is not connected"}`;
  }
  if (fitting.length === 0) {
    const labels = labelWords(workerSelector);
    if (workerId !== "") return `worker ${workerId} does not have the ${labels}`;
    const offer = offering.length === 1 ? "1 worker offers the type" : `${offering.length} workers offer the type`;
    return `no worker has the ${labels} (${offer})`;
  }
  const drained = fitting.filter((worker) => worker.drained);
  const leaving = fitting.filter((worker) => !worker.takesWork && !worker.drained);
  return [restWords(drained, "drained"), restWords(leaving, "leaving")].filter(Boolean).join(", ");
}

/** All slots that the job could have are taken. */
export function busyWords(
  { type, workerId, workerSelector }: JobRecord,
  working: readonly NamedWorker[],
  resting: string,
  place: number,
): string {
  const slots = working.reduce((sum, worker) => sum + worker.slots, 0);
  const where = workerId === "" ? `for type ${type}` : `on worker ${workerId}`;
  const selector =
    workerId === "" && Object.keys(workerSelector).length > 0 ? ` with ${labelWords(workerSelector)}` : "";
  return [`no free slot ${where}${selector} (${slots} of ${slots} busy)`, resting, placeWords(place)]
    .filter(Boolean)
    .join(" · ");
}

/** Workers that could take the job have declined it a moment ago, or given it back again. */
export function declinedWords({ attempts }: JobRecord, working: readonly NamedWorker[]): string {
  const how = attempts.at(-1)?.end?.outcome === EndOutcome.RELEASED ? "given back" : "declined";
  return `${how} by ${names(working)}, asks again`;
}

/** As many jobs run as may. */
export function limitWords({ type, labelKey, mostRunning }: Limit, value: string, place: number): string {
  const what = type === "" ? `label ${labelKey}=${value}` : `type ${type}`;
  const full = mostRunning === 0 ? "may not run: its limit is 0" : `has its limit of ${mostRunning} running`;
  return `${what} ${full} · ${placeWords(place)}`;
}

/** The job waits for its next attempt, `leftMs` more. */
export function retryWords({ tries, retry }: JobRecord, leftMs: number): string {
  return `retries in ${leftWords(leftMs)}, attempt ${tries + 1} of ${retry?.mostAttempts ?? tries + 1}`;
}

/** In steps that grow, so that what is far off does not change all the time. */
function leftWords(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`;
}

function labelWords(labels: Record<string, string>): string {
  const all = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return `${all.length === 1 ? "label" : "labels"} ${all.join(", ")}`;
}

/** 'worker a is drained', 'workers a, b are drained'; empty if there are none. */
function restWords(workers: readonly NamedWorker[], what: string): string {
  if (workers.length === 0) return "";
  return workers.length === 1 ? `worker ${names(workers)} is ${what}` : `workers ${names(workers)} are ${what}`;
}

function names(workers: readonly NamedWorker[]): string {
  const named = workers.slice(0, mostNamed).map(({ workerId }) => workerId);
  const more = workers.length - named.length;
  return more > 0 ? `${named.join(", ")} and ${more} more` : named.join(", ");
}

function placeWords(place: number): string {
  return place > longestLine ? `more than ${longestLine} in line` : `${ordinal(place)} in line`;
}

function ordinal(n: number): string {
  const tens = n % 100;
  if (tens >= 11 && tens <= 13) return `${n}th`;
  return `${n}${["th", "st", "nd", "rd"][n % 10] ?? "th"}`;
}
