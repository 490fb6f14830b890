import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { CommandSchema, type JobRecord } from "@signalbox/protocol";
import { isInDoubt, isOpen } from "@signalbox/protocol/job-state";
import { hasFilter } from "../bulk-selection.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { jobJson } from "../json.ts";
import { changedParameters } from "../parameters.ts";
import { resolveJob } from "../resolve-job.ts";
import { sanitise } from "../sanitise.ts";
import type { ManyOptions } from "./many.ts";

/** Queues another attempt of a job that has ended or is lost, or of many. */
export async function retry(
  invocation: Invocation,
  refs: string[],
  options: ManyOptions & { readonly set?: string[] },
): Promise<number> {
  const [ref] = refs;
  const words = options.set ?? [];
  if (words.length > 0 && (refs.length !== 1 || hasFilter(refs, options)))
    throw usageError("--set is for one job: its parameters are changed and the others kept.");
  if (refs.length !== 1 || ref === undefined || hasFilter(refs, options)) {
    const { bulkCommand, many } = await import("./many.ts");
    return many(invocation, refs, { ...options, wait: false }, bulkCommand(undefined, options), "No new attempt");
  }
  const room = await invocation.room();
  const { job } = await resolveJob(room, ref);
  const changed = async () => {
    const { types } = await room.call("No new attempt", () => room.jobs.listJobTypes({}));
    return { parameters: changedParameters(job, words, types) };
  };
  const request = { requestId: randomUUID(), jobId: job.id, ...(words.length > 0 ? await changed() : {}) };
  const answer = await room.call("No new attempt", () => room.jobs.retryJob(request));
  const next = (answer.job?.attempts.at(-1)?.number ?? 0) + 1;
  return report(invocation, answer.job, `waits for a worker: attempt ${next}`);
}

/** Ends the attempt of a lost job without its worker's word. */
export async function giveUp(
  invocation: Invocation,
  ref: string,
  { reason }: { readonly reason?: string },
): Promise<number> {
  const room = await invocation.room();
  const { job } = await resolveJob(room, ref);
  const command = create(CommandSchema, { action: { case: "giveUp", value: { reason: reason ?? "" } } });
  const request = { requestId: randomUUID(), jobId: job.id, command };
  const answer = await room.call("Not given up", () => room.jobs.sendCommand(request));
  return report(invocation, answer.job, "given up; its process may still run");
}

/** Takes back the newest command that is not delivered yet, or the one with a generation. */
export async function withdraw(invocation: Invocation, ref: string, given: string | undefined): Promise<number> {
  if (given !== undefined && !/^\d{1,18}$/.test(given))
    throw usageError(`'${given}' is no generation.`, "signalbox job ID --json lists receipts with their generation.");
  const room = await invocation.room();
  const { job } = await resolveJob(room, ref);
  const generation =
    given === undefined ? job.receipts.findLast((each) => isOpen(each) && !isInDoubt(each))?.generation : BigInt(given);
  if (generation === undefined)
    throw new CliError(exitCodes.failed, `Nothing to take back: no command waits for ${sanitise(job.name)}.`);
  const command = create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } });
  const request = { requestId: randomUUID(), jobId: job.id, command };
  const answer = await room.call("Not taken back", () => room.jobs.sendCommand(request));
  const doubt = answer.job?.receipts.some((each) => each.generation === generation && isInDoubt(each));
  return report(
    invocation,
    answer.job,
    doubt
      ? "the lever is back, but the command was on its way: whether the worker had it shows when it answers"
      : "the command was taken back before it was delivered",
  );
}

async function report({ out }: Invocation, job: JobRecord | undefined, what: string): Promise<number> {
  if (job && out.json) await out.object(jobJson({ job, vitals: undefined }));
  else if (job) await out.line(`${sanitise(job.name)}: ${what}`);
  return exitCodes.ok;
}
