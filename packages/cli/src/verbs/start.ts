import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import type { JobRecord, LeverValue } from "@signalbox/protocol";
import { RunMode } from "@signalbox/protocol";
import { seenState } from "@signalbox/protocol/job-state";
import { endWords } from "../end-words.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import { openInput, type InputSource } from "../input-source.ts";
import type { Invocation } from "../invocation.ts";
import { policiesOf, type PolicyOptions } from "../job-policies.ts";
import { jobJson } from "../json.ts";
import { parseLabels } from "../labels.ts";
import { levelValue, priorityValue, runValue, speedValue } from "../lever-values.ts";
import { outcomeCode } from "../outcome-code.ts";
import { parseAssignments, propertySchema, readParameters } from "../parameters.ts";
import type { FoundJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { linkWords, watch, type Followed } from "../watch.ts";
import { progressWords } from "./jobs.ts";
import { feed } from "./feed.ts";
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
  readonly input?: string;
  readonly attach?: boolean;
  /** With `attach`: events a second. */
  readonly rate?: number;
  readonly cancelOnClose?: boolean;
}

/**
 * Starts a job; with `follow` prints its log to its end, with `wait` waits for it, with `input` sends it a file meanwhile. Then the exit code
 * is the job's outcome.
 */
export async function start(
  invocation: Invocation,
  type: string,
  words: string[],
  options: StartOptions,
): Promise<number> {
  const { out } = invocation;
  if (options.attach && (options.follow || options.wait || options.input !== undefined))
    throw usageError("--attach goes with none of --follow, --wait and --input: it does what they do.");
  if (!options.attach && (options.rate !== undefined || options.cancelOnClose))
    throw usageError("--rate and --cancel-on-close need --attach.");
  const levers = leversOf(options);
  const labels = parseLabels(options.label ?? []);
  const policies = policiesOf(options);
  if (options.input === "-" && options.parameters === "-")
    throw usageError("Standard input can be the input or the parameters, not both.");
  const given = options.parameters === undefined ? {} : await readParameters(options.parameters, process.stdin);
  const source = options.input === undefined ? undefined : await openInput(options.input);
  const follow = options.follow || source !== undefined;
  const room = await invocation.room();
  const asks = words.length > 0 || source !== undefined;
  const offered = asks ? (await room.call("Not started", () => room.jobs.listJobTypes({}))).types : [];
  const offer = offered.find((each) => each.type?.name === type)?.type;
  const schema = offer?.parametersSchema;
  if (source && offer && !offer.takesInput)
    throw new CliError(exitCodes.failed, `Not started: jobs of type ${sanitise(type)} take no input.`);
  const request = {
    requestId: randomUUID(),
    type,
    name: options.name ?? "",
    parameters: { ...lengthOf(source, schema), ...given, ...parseAssignments(words, schema) },
    labels,
    levers,
    workerId: options.worker ?? "",
    ...policies,
  };
  const { job } = await room.call("Not started", () => room.jobs.startJob(request));
  if (!job) throw new CliError(exitCodes.failed, "Not started: the server did not say which job it is.");
  if (out.json) {
    if (!options.wait || follow) await out.object(jobJson({ job, vitals: undefined }));
  } else if (out.quiet) await out.line(job.id);
  else {
    const said = `started ${sanitise(job.name)}: ${job.id}`;
    if (follow || options.attach) out.note(said);
    else await out.line(said);
  }
  if (options.attach) return (await import("./attach.ts")).attachTo(invocation, room, job, options, true);
  if (!follow && !options.wait) return exitCodes.ok;
  invocation.interruptedNote = `The job goes on: signalbox job ${job.id}`;
  const ended = source
    ? await feed(invocation, room, job, source)
    : follow
      ? await followLog(invocation, room, job, {})
      : await waitForEnd(invocation, room, job);
  if (out.json) await out.object(jobJson({ job: ended, vitals: undefined }));
  else out.note(endWords(ended));
  return outcomeCode(ended);
}

/** How long the input is, for a type that wants to know: as its parameter `bytes_total`. */
function lengthOf(source: InputSource | undefined, schema: JsonObject | undefined): JsonObject {
  const isKnown = source?.total !== undefined && propertySchema(schema, "bytes_total") !== undefined;
  return isKnown ? { bytes_total: source.total } : {};
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
