import type { Argument, Command, Option } from "commander";
import { findAddress } from "./address.ts";
import { propertyNames } from "./parameters.ts";
import { openRoom, type Room } from "./room.ts";
import { sanitise } from "./sanitise.ts";
import { levelChoices } from "./words.ts";

/** A word that fits, and what it is. */
interface Candidate {
  readonly value: string;
  readonly about: string;
}

/** A shell waits for the answer at every Tab, milliseconds. */
const timeoutMs = 1_500;
const mostJobs = 200;

/**
 * What fits in place of the last of `words` (those after `signalbox`), a line each: the word, a tab, what it is. Jobs, types and
 * workers are asked of the server; where that fails or takes long, they are left out. Never rejects.
 */
export async function complete(program: Command, words: readonly string[]): Promise<string> {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const at = before.findIndex((word) => program.commands.some((each) => each.name() === word));
  const command = program.commands.find((each) => each.name() === before[at]);
  const candidates = command
    ? await forCommand(command, before.slice(at + 1), current)
    : [...verbs(program, current), ...optionsOf(program, current)];
  return candidates
    .filter(({ value }) => value.startsWith(current))
    .map(({ value, about }) => `${oneLine(value)}\t${oneLine(about)}\n`)
    .join("");
}

function verbs(program: Command, current: string): Candidate[] {
  if (current.startsWith("-")) return [];
  const hidden = "complete";
  return program.commands
    .filter((command) => command.name() !== hidden)
    .map((command) => ({ value: command.name(), about: command.summary() }));
}

async function forCommand(command: Command, before: readonly string[], current: string): Promise<Candidate[]> {
  const operands: string[] = [];
  let awaited: Option | undefined;
  for (const word of before) {
    if (word === "--") return [];
    if (awaited) {
      if (!awaited.variadic) awaited = undefined;
      continue;
    }
    const option = command.options.find((each) => each.long === word || each.short === word);
    if (option?.required) awaited = option;
    else if (!word.startsWith("-")) operands.push(word);
  }
  if (awaited && !current.startsWith("-")) return forOption(awaited);
  if (current.startsWith("-")) return optionsOf(command, current);
  const argument = command.registeredArguments[operands.length] ?? command.registeredArguments.at(-1);
  if (!argument || (operands.length >= command.registeredArguments.length && !argument.variadic)) return [];
  return forArgument(argument, operands);
}

function optionsOf(command: Command, current: string): Candidate[] {
  if (!current.startsWith("-")) return [];
  return command.options.flatMap((option) => (option.long ? [{ value: option.long, about: option.description }] : []));
}

function forOption(option: Option): Promise<Candidate[]> {
  if (option.argChoices) return Promise.resolve(option.argChoices.map((value) => ({ value, about: "" })));
  if (option.long === "--type") return live(typeNames);
  if (option.long === "--worker") return live(workerNames);
  return Promise.resolve([]);
}

function forArgument(argument: Argument, operands: readonly string[]): Promise<Candidate[]> {
  if (argument.argChoices) return Promise.resolve(argument.argChoices.map((value) => ({ value, about: "" })));
  switch (argument.name()) {
    case "job":
      return live(jobNames);
    case "job-or-level":
      return live(async (room) => [...levelChoices.map((value) => ({ value, about: "" })), ...(await jobNames(room))]);
    case "type":
      return live(typeNames);
    case "worker":
      return live(workerNames);
    case "key=value":
      return live((room) => parameterNames(room, operands[0] ?? ""));
    default:
      return Promise.resolve([]);
  }
}

async function live(ask: (room: Room) => Promise<Candidate[]>): Promise<Candidate[]> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<Candidate[]>((resolve) => (timer = setTimeout(() => resolve([]), timeoutMs)));
  const answer = async () => {
    const room = await openRoom(await findAddress(undefined, process.env));
    try {
      return await ask(room);
    } finally {
      room.close();
    }
  };
  try {
    return await Promise.race([answer(), tooLate]);
  } catch {
    // A Tab is no place for an error: the verb itself says what is wrong.
    return [];
  } finally {
    clearTimeout(timer);
  }
}

async function jobNames({ jobs }: Room): Promise<Candidate[]> {
  const { jobs: newest } = await jobs.listJobs({ pageSize: mostJobs });
  return newest.map((job) => ({ value: job.id, about: job.name }));
}

async function typeNames({ jobs }: Room): Promise<Candidate[]> {
  const { types } = await jobs.listJobTypes({});
  return types.flatMap(({ type }) => (type && !type.pinned ? [{ value: type.name, about: type.description }] : []));
}

async function workerNames({ jobs }: Room): Promise<Candidate[]> {
  const { workers } = await jobs.listWorkers({});
  return workers.map((worker) => ({ value: worker.workerId, about: worker.jobTypes.join(" ") }));
}

/** Parameters of a type, or of a job's type. */
async function parameterNames({ jobs }: Room, typeOrJob: string): Promise<Candidate[]> {
  const { types } = await jobs.listJobTypes({});
  const typeNamed = types.find(({ type }) => type?.name === typeOrJob);
  const jobType = typeNamed ? undefined : (await jobs.getJob({ jobId: typeOrJob })).job?.type;
  const offered = typeNamed ?? types.find(({ type }) => type?.name === jobType);
  return propertyNames(offered?.type?.parametersSchema).map((name) => ({ value: `${name}=`, about: "" }));
}

function oneLine(text: string): string {
  return sanitise(text).replaceAll("\t", " ");
}
