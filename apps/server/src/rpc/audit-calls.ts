import { create, isMessage, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import { Code, type Interceptor } from "@connectrpc/connect";
import {
  ActorSchema,
  AuditBulkSchema,
  AuditDrainSchema,
  AuditLimitSchema,
  CancelJobRequestSchema,
  ClientCommandSchema,
  DrainWorkerRequestSchema,
  InputRefusalSchema,
  JobEventSchema,
  LeverValueSchema,
  ReleaseBulkRequestSchema,
  ReleaseBulkResponseSchema,
  RetryJobRequestSchema,
  RunService,
  SendCommandRequestSchema,
  SendInputRequestSchema,
  SetLimitRequestSchema,
  StartBulkRequestSchema,
  StartBulkResponseSchema,
  StartJobAndWatchRequestSchema,
  StartJobRequestSchema,
  StopBulkRequestSchema,
  StopBulkResponseSchema,
  UndoBulkRequestSchema,
  UndoBulkResponseSchema,
  UndrainWorkerRequestSchema,
  type BulkRecord,
  type ClientCommand,
  type JobEvent,
  type Limit,
} from "@signalbox/protocol";
import type { AuditEvent, AuditLog } from "../audit/audit-log.ts";
import { commandWords, leverWords, limitWords } from "../audit/words.ts";
import { callerKey, type Caller } from "../auth/caller.ts";
import { Refused } from "../refused.ts";
import { statusOf } from "../status.ts";
import { actorOfCaller } from "./actor.ts";
import { limitBeforeKey } from "./limit-calls.ts";

/** What a call asked for that would have changed something. */
interface Asked {
  readonly words: string;
  readonly jobId?: string;
  readonly requestId?: string;
}

const inputWords = "Send input";

/** Commands of a console whose answers are awaited; of older ones a refusal is told without its words. */
const mostAwaited = 1_000;

/**
 * Tells the audit of calls: those that were refused although they would have changed something, and those that changed what belongs to no
 * job. What changes a job is told by the job's own history. `generationOf` is a job's generation; 0n if there is no such job.
 */
export function auditCalls(log: AuditLog, generationOf: (jobId: string) => bigint): Interceptor {
  const refuse = (
    caller: Caller | undefined,
    { words, jobId = "", requestId = "" }: Asked,
    code: number,
    reason: string,
  ) =>
    log.refuse(caller ? actorOfCaller(caller) : create(ActorSchema), {
      words,
      jobId,
      requestId,
      code,
      reason,
      onGeneration: generationOf(jobId),
    });
  return (next) => async (request) => {
    const caller = request.contextValues.get(callerKey);
    if (request.stream && request.method.parent.typeName === RunService.typeName) {
      const awaited = new Map<string, Asked>();
      const response = await next({ ...request, message: learn(request, awaited) });
      if (!response.stream) return response;
      const told = tap(response.message, (event) => {
        if (!isMessage(event, JobEventSchema)) return;
        const refused = refusedOf(event, awaited);
        if (refused) refuse(caller, refused, refused.code, refused.reason);
      });
      return { ...response, message: converted(told, (error) => refuse(caller, { words: "Console" }, ...error)) };
    }
    const message = request.stream ? undefined : request.message;
    const asked = message && askedOf(message);
    if (!asked) {
      // Calls with one request and a stream of answers come as streams.
      if (!request.stream || request.method.methodKind !== "server_streaming") return next(request);
      let first: Asked | undefined;
      const response = await next({ ...request, message: tap(request.message, (each) => (first ??= askedOf(each))) });
      if (!response.stream) return response;
      return { ...response, message: converted(response.message, (error) => first && refuse(caller, first, ...error)) };
    }
    try {
      const response = await next(request);
      const event = response.stream
        ? undefined
        : eventOf(message, response.message, request.contextValues.get(limitBeforeKey));
      if (event && caller) log.add(actorOfCaller(caller), event);
      return response;
    } catch (error) {
      if (error instanceof Refused && error.kind !== "unavailable" && !isFlowControl(error))
        refuse(caller, asked, ...codeOf(error));
      throw error;
    }
  };
}

/** Whether a refusal only says where to go on: the sender does, and nothing was kept from him. */
function isFlowControl({ details }: Refused): boolean {
  return details.some(({ desc }) => desc === InputRefusalSchema);
}

function codeOf(error: Refused): [number, string] {
  return [statusOf(error), error.message];
}

/** What a request asks for, if it would change something. */
function askedOf(message: Message): Asked | undefined {
  const is = <D extends DescMessage>(desc: D): MessageShape<D> | undefined =>
    isMessage(message, desc) ? message : undefined;
  const start = is(StartJobRequestSchema) ?? is(StartJobAndWatchRequestSchema)?.job;
  if (start) return { words: `Start ${start.type}`.trimEnd(), requestId: start.requestId };
  const command = is(SendCommandRequestSchema);
  if (command) return { ...command, words: commandWords(command.command) };
  const cancel = is(CancelJobRequestSchema);
  if (cancel) return { ...cancel, words: "Cancel" };
  const retry = is(RetryJobRequestSchema);
  if (retry) return { ...retry, words: retry.parameters ? "Retry with other parameters" : "Retry" };
  const input = is(SendInputRequestSchema);
  if (input) return { words: inputWords, jobId: input.jobId };
  const drain = is(DrainWorkerRequestSchema);
  if (drain) return { words: `${drain.stop ? "Stop" : "Drain"} ${drain.workerId}` };
  const undrain = is(UndrainWorkerRequestSchema);
  if (undrain) return { words: `Undrain ${undrain.workerId}` };
  const limit = is(SetLimitRequestSchema);
  if (limit) return { words: limitWords(limit.limit, limit.lift) };
  const bulk = is(StartBulkRequestSchema);
  if (bulk) {
    const { action } = bulk.command ?? {};
    const what = action?.case === "retry" ? "Retry" : leverWords(action?.value, bulk.command?.hold);
    return { words: `${what} of many jobs`, requestId: bulk.requestId };
  }
  if (is(ReleaseBulkRequestSchema)) return { words: "Do commands to many now" };
  if (is(UndoBulkRequestSchema)) return { words: "Undo commands to many" };
  return is(StopBulkRequestSchema) ? { words: "Stop commands to many" } : undefined;
}

/** What a call did that no job's history tells. */
function eventOf(request: Message, response: Message, limitBefore: Limit | undefined): AuditEvent | undefined {
  if (isMessage(request, DrainWorkerRequestSchema))
    return { case: "drain", value: create(AuditDrainSchema, { ...plain(request), drained: true }) };
  if (isMessage(request, UndrainWorkerRequestSchema))
    return { case: "drain", value: create(AuditDrainSchema, { workerId: request.workerId }) };
  if (isMessage(request, SetLimitRequestSchema))
    return {
      case: "limit",
      value: create(AuditLimitSchema, {
        words: `${limitWords(request.limit, request.lift)}; before: ${limitBefore?.mostRunning ?? "no limit"}`,
      }),
    };
  const bulk = (verb: string, record: BulkRecord | undefined): AuditEvent | undefined =>
    record && {
      case: "bulk",
      value: create(AuditBulkSchema, { bulkId: record.id, words: `${verb}${bulkWords(record)}` }),
    };
  if (isMessage(response, StartBulkResponseSchema)) return bulk("", response.bulk);
  if (isMessage(response, ReleaseBulkResponseSchema)) return bulk("At once: ", response.bulk);
  if (isMessage(response, UndoBulkResponseSchema)) return bulk("Undo: ", response.bulk);
  return isMessage(response, StopBulkResponseSchema) ? bulk("Stop half-way: ", response.bulk) : undefined;
}

function plain({ workerId, stop, reason }: MessageShape<typeof DrainWorkerRequestSchema>) {
  return { workerId, stop, reason };
}

function bulkWords({ command, jobsTotal }: BulkRecord): string {
  const { action } = command ?? {};
  const what = action?.case === "retry" ? "Retry" : leverWords(action?.value, command?.hold);
  return `${what} of ${jobsTotal} ${jobsTotal === 1 ? "job" : "jobs"}`;
}

/** The commands of a console, each remembered until it is answered. */
function learn<T>({ message: messages }: { message: AsyncIterable<T> }, awaited: Map<string, Asked>): AsyncIterable<T> {
  let jobId = "";
  return tap(messages, (message) => {
    if (!isMessage(message, ClientCommandSchema)) return;
    if (message.command.case === "start") jobId = message.command.value.jobId;
    if (awaited.size < mostAwaited)
      awaited.set(message.id, { words: consoleWords(message), jobId, requestId: message.id });
  });
}

/** The refusal in an event of a console; learns the job's id, and forgets what was answered. */
function refusedOf(
  { event }: JobEvent,
  awaited: Map<string, Asked>,
): (Asked & { readonly code: number; readonly reason: string }) | undefined {
  if (event.case === "accepted") awaited.delete(event.value.id);
  if (event.case !== "refused") return undefined;
  const { id, code, reason } = event.value;
  const asked = awaited.get(id) ?? { words: "Console", requestId: id };
  awaited.delete(id);
  // Only says where the input goes on: see isFlowControl.
  if (asked.words === inputWords && code === Number(Code.Aborted)) return undefined;
  return { ...asked, code, reason };
}

function consoleWords({ command }: ClientCommand): string {
  const set = (value: Parameters<typeof create<typeof LeverValueSchema>>[1]) =>
    leverWords(create(LeverValueSchema, value));
  switch (command.case) {
    case "start":
      return command.value.jobId ? "Join" : `Start ${command.value.type}`;
    case "pause":
      return "Pause";
    case "resume":
      return "Resume";
    case "cancel":
      return "Cancel";
    case "setSpeed":
      return set({ value: { case: "speed", value: command.value } });
    case "setLogLevel":
      return set({ value: { case: "logLevel", value: command.value.level ?? {} } });
    case "setPriority":
      return set({ value: { case: "priority", value: command.value } });
    case "setParameters":
      return "Parameters";
    case "input":
      return inputWords;
    default:
      return "Console";
  }
}

/** The same messages; each is looked at as it passes. */
async function* tap<T>(messages: AsyncIterable<T>, look: (message: T) => void): AsyncGenerator<T> {
  for await (const message of messages) {
    look(message);
    yield message;
  }
}

/** The same messages; a refusal that ends them is told. */
async function* converted<T>(messages: AsyncIterable<T>, tell: (error: [number, string]) => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    if (error instanceof Refused && error.kind !== "unavailable") tell(codeOf(error));
    throw error;
  }
}
