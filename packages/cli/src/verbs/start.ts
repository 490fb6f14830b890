import { randomUUID } from "node:crypto";
import type { JobRecord, LeverValue } from "@signalbox/protocol";
import { RunMode } from "@signalbox/protocol";
import { duration } from "@signalbox/protocol/format";
import { seenState } from "@signalbox/protocol/job-state";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { policiesOf, type PolicyOptions } from "../job-policies.ts";
import { jobJson } from "../json.ts";
import { parseLabels } from "../labels.ts";
import { levelValue, priorityValue, runValue, speedValue } from "../lever-values.ts";
import { outcomeCode } from "../outcome-code.ts";
import { parseAssignments, readParameters } from "../parameters.ts";
import type { FoundJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { linkWords, watch, type Followed } from "../watch.ts";
import { progressWords } from "./jobs.ts";
import { followLog } from "./logs.ts";

export interface StartOptions extends PolicyOptions {
  readonly parameters?: string;
  readonly name?: string;
  readonly label?: string[];
  readonly speed?: string;
  readonly priority?: string;
  readonly level?: string;
  readonly paused?: boolean;
  readonly worker?: string;
  readonly follow?: boolean;
  readonly wait?: boolean;
}

/** Starts a job; with `follow` prints its log to its end, with `wait` waits for it. Then the exit code is the job's outcome. */
export async function start(
  invocation: Invocation,
  type: string,
  words: string[],
  options: StartOptions,
): Promise<number> {
  const { out } = invocation;
  const levers = leversOf(options);
  const labels = parseLabels(options.label ?? []);
  const policies = policiesOf(options);
  const given = options.parameters === undefined ? {} : await readParameters(options.parameters, process.stdin);
  const room = await invocation.room();
  const offered = words.length === 0 ? [] : (await room.call("Not started", () => room.jobs.listJobTypes({}))).types;
  const schema = offered.find((each) => each.type?.name === type)?.type?.parametersSchema;
  const request = {
    requestId: randomUUID(),
    type,
    name: options.name ?? "",
    parameters: { ...given, ...parseAssignments(words, schema) },
    labels,
    levers,
    workerId: options.worker ?? "",
    ...policies,
  };
  const { job } = await room.call("Not started", () => room.jobs.startJob(request));
  if (!job) throw new CliError(exitCodes.failed, "Not started: the server did not say which job it is.");
  if (out.json) {
    if (!options.wait || options.follow) await out.object(jobJson({ job, vitals: undefined }));
  } else if (out.quiet) await out.line(job.id);
  else {
    const said = `started ${sanitise(job.name)}: ${job.id}`;
    if (options.follow) out.note(said);
    else await out.line(said);
  }
  if (!options.follow && !options.wait) return exitCodes.ok;
  invocation.interruptedNote = `The job goes on: signalbox job ${job.id}`;
  const ended = options.follow ? await followLog(invocation, room, job, {}) : await waitForEnd(invocation, room, job);
  if (out.json) await out.object(jobJson({ job: ended, vitals: undefined }));
  else out.note(endWords(ended));
  return outcomeCode(ended);
}

function leversOf(options: StartOptions): LeverValue[] {
  return [
    ...(options.paused ? [runValue(RunMode.PAUSE)] : []),
    ...(options.speed === undefined ? [] : [speedValue(options.speed)]),
    ...(options.priority === undefined ? [] : [priorityValue(options.priority)]),
    ...(options.level === undefined ? [] : [levelValue(options.level)]),
  ];
}

/** Waits until the job has ended, with its progress on standard error where that is a terminal. */
async function waitForEnd({ out, signal }: Invocation, room: Room, start: JobRecord): Promise<JobRecord> {
  let found: FoundJob = { job: start, vitals: undefined };
  const followed: Followed = {
    id: "job",
    kind: { case: "job", value: { $typeName: "signalbox.v1.JobSubscription", jobId: start.id } },
    cursor: new Uint8Array(),
  };
  for await (const event of watch(room, [followed], signal)) {
    if (event.kind !== "message") {
      out.note(linkWords(event));
      continue;
    }
    const { message } = event;
    if (message.case === "vitals") found = { ...found, vitals: message.value.vitals.at(-1) };
    if (message.case === "entries") {
      for (const { record } of message.value.entries) found = { ...found, job: record ?? found.job };
      if (seenState(found.job).ended) return found.job;
    }
    out.status(`${seenState(found.job).word}  ${progressWords(found, Date.now())}`);
  }
  signal.throwIfAborted();
  return found.job;
}

function endWords(job: JobRecord): string {
  const ran = job.startedAtUs > 0n ? ` after ${duration(Number(job.endedAtUs - job.startedAtUs) / 1000)}` : "";
  return `${sanitise(job.name)}: ${seenState(job).word.toLowerCase()}${ran}${job.reason ? `: ${sanitise(job.reason)}` : ""}`;
}
