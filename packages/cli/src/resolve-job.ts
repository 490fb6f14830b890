import { Code, ConnectError } from "@connectrpc/connect";
import type { JobRecord, JobState, Vitals } from "@signalbox/protocol";
import { seenState } from "@signalbox/protocol/job-state";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { Room } from "./room.ts";
import { sanitise } from "./sanitise.ts";

/** A job, and its progress if it has any. */
export interface FoundJob {
  readonly job: JobRecord;
  readonly vitals: Vitals | undefined;
}

/** Jobs that are asked for at a time. */
export const pageSize = 1000;
const shownCandidates = 10;

/**
 * Finds the job that is meant: by its id, else the only one of that name, else the only one whose id begins like that. Throws CliError:
 * not found, with those that would fit if there are several.
 */
export async function resolveJob(room: Room, ref: string): Promise<FoundJob> {
  const [found] = await resolveJobs(room, [ref]);
  if (!found) throw new RangeError("one reference resolves to one job");
  return found;
}

/** Finds several jobs, each once, in the order in which they are named; all of them or none. */
export async function resolveJobs(room: Room, refs: readonly string[]): Promise<FoundJob[]> {
  const exact = await Promise.all(refs.map((ref) => getJob(room, ref)));
  const all = exact.includes(undefined) ? await allJobs(room) : [];
  const found = refs.map((ref, i) => exact[i] ?? pick(all, ref));
  return found.filter(({ job }, i) => found.findIndex((other) => other.job.id === job.id) === i);
}

async function getJob(room: Room, jobId: string): Promise<FoundJob | undefined> {
  try {
    const { job, vitals } = await room.call("", () => room.jobs.getJob({ jobId }));
    return job && { job, vitals };
  } catch (error) {
    if (error instanceof CliError && error.cause instanceof ConnectError && error.cause.code === Code.NotFound)
      return undefined;
    throw error;
  }
}

async function allJobs(room: Room): Promise<FoundJob[]> {
  const found: FoundJob[] = [];
  for await (const page of jobPages(room, {})) found.push(...page);
  return found;
}

/** Pages of jobs with their progress, newest first. Throws CliError. */
export async function* jobPages(
  room: Room,
  filter: { states?: JobState[]; type?: string; limit?: number },
): AsyncGenerator<FoundJob[]> {
  let pageToken = "";
  let left = filter.limit ?? Infinity;
  do {
    const request = {
      pageSize: Math.min(pageSize, left),
      pageToken,
      states: filter.states ?? [],
      type: filter.type ?? "",
    };
    const page = await room.call("", () => room.jobs.listJobs(request));
    const vitals = new Map(page.vitals.map((each) => [each.jobId, each]));
    yield page.jobs.map((job) => ({ job, vitals: vitals.get(job.id) }));
    left -= page.jobs.length;
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && left > 0);
}

function pick(all: readonly FoundJob[], ref: string): FoundJob {
  const named = all.filter(({ job }) => job.name === ref);
  const fitting =
    named.length > 0 ? named : all.filter(({ job }) => job.id.startsWith(ref) || job.id.startsWith(`j-${ref}`));
  const [only] = fitting;
  const shown = sanitise(ref);
  if (!only || ref === "")
    throw new CliError(exitCodes.notFound, `No job has the id or name '${shown}'.`, "See them with: signalbox jobs");
  if (fitting.length === 1) return only;
  const lines = fitting
    .slice(0, shownCandidates)
    .map(({ job }) => `  ${job.id}  ${seenState(job).word.padEnd(10)}  ${sanitise(job.name)}`);
  if (fitting.length > shownCandidates) lines.push(`  and ${fitting.length - shownCandidates} more`);
  const how = named.length > 0 ? "are called" : "have an id that begins with";
  throw new CliError(exitCodes.notFound, `${fitting.length} jobs ${how} '${shown}': give an id.`, lines.join("\n"));
}
