import { speedFault, type Hello, type JobType } from "@signalbox/protocol";
import { isWorkerId, workerIdWords } from "../jobs/only-worker.ts";
import { deadlineFault, retryFault } from "../jobs/policies.ts";
import { jsonText } from "../json-text.ts";
import { Refused } from "../refused.ts";

const incarnation = /^[A-Za-z0-9-]{16,64}$/;
const typeName = /^[a-z0-9._-]{1,60}$/;
const leverNames = new Set(["run", "speed", "log_level", "parameters"]);
const mostSlots = 1000;
const mostTypes = 200;
const mostTags = 64;
const mostRunningOfType = 2_147_483_648;
const longest = { agent: 200, description: 1000, itemNoun: 60, schemaBytes: 64 * 1024, tagKey: 100, tagValue: 500 };

/** Throws Refused, saying what is wrong, unless a hello is well formed. */
export function checkHello(hello: Hello): void {
  const fault = helloFault(hello);
  if (fault) throw new Refused("invalid", `Hello refused: ${fault}.`);
}

function helloFault(hello: Hello): string | undefined {
  if (!isWorkerId(hello.workerId)) return `worker_id is ${workerIdWords}`;
  if (!incarnation.test(hello.incarnation)) return "incarnation is 16 to 64 of A-Z a-z 0-9 -, random for each process";
  if (hello.slots < 1 || hello.slots > mostSlots) return `slots is ${hello.slots}, not 1 to ${mostSlots}`;
  if (hello.jobTypes.length > mostTypes)
    return `there are ${hello.jobTypes.length} job types, at most ${mostTypes} are allowed`;
  if (hello.agent.length > longest.agent) return `agent has ${hello.agent.length} characters, at most ${longest.agent}`;
  const seen = new Set<string>();
  for (const type of hello.jobTypes) {
    if (!typeName.test(type.name)) return `job type '${type.name.slice(0, 60)}': a name is 1 to 60 of a-z 0-9 . _ -`;
    if (seen.has(type.name)) return `job type '${type.name}' is offered twice`;
    seen.add(type.name);
    const fault = typeFault(type);
    if (fault) return `job type '${type.name}' ${fault}`;
  }
  return tagsFault("labels", hello.labels) ?? tagsFault("metadata", hello.metadata);
}

function typeFault({
  levers,
  description,
  itemNoun,
  parametersSchema,
  defaultItemsPerSecond,
  mostRunning,
  retry,
  deadline,
}: JobType): string | undefined {
  const unknown = levers.find((lever) => !leverNames.has(lever));
  if (unknown !== undefined) return `has a lever '${unknown.slice(0, 60)}'; levers are ${[...leverNames].join(", ")}`;
  if (description.length > longest.description)
    return `has a description of ${description.length} characters, at most ${longest.description} are allowed`;
  if (itemNoun.length > longest.itemNoun)
    return `has an item_noun of ${itemNoun.length} characters, at most ${longest.itemNoun} are allowed`;
  const slowOrFast = defaultItemsPerSecond !== undefined && speedFault(defaultItemsPerSecond);
  if (slowOrFast) return `has a default speed of ${defaultItemsPerSecond}, which ${slowOrFast}`;
  if (mostRunning > mostRunningOfType)
    return `has most_running ${mostRunning}, at most ${mostRunningOfType} are allowed`;
  const faults = { "a retry policy": retryFault(retry), "a deadline": deadlineFault(deadline) };
  for (const [what, fault] of Object.entries(faults)) if (fault) return `has ${what} that ${fault}`;
  const schema = parametersSchema ? jsonText(parametersSchema) : "";
  if (schema === undefined) return "has a parameters_schema that holds NaN or an infinity: JSON has no such numbers";
  const schemaBytes = Buffer.byteLength(schema);
  if (schemaBytes > longest.schemaBytes)
    return `has a parameters_schema of ${schemaBytes} bytes as JSON, at most ${longest.schemaBytes} are allowed`;
  return undefined;
}

/** Metadata is in the record of every attempt. */
function tagsFault(what: string, tags: Record<string, string>): string | undefined {
  const all = Object.entries(tags);
  if (all.length > mostTags) return `there are ${all.length} ${what}, at most ${mostTags} are allowed`;
  const long = all.find(([key, value]) => key.length > longest.tagKey || value.length > longest.tagValue);
  return (
    long &&
    `${what} '${long[0].slice(0, longest.tagKey)}': a key has at most ${longest.tagKey} characters, a value ${longest.tagValue}`
  );
}
