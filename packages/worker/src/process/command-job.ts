import type { JsonObject } from "@bufbuild/protobuf";
import { defineJob, ProgramFailed, type JobDefinition } from "../job.ts";
import { CommandRun, type CommandParameters, type CommandRunHost } from "./command-run.ts";
import { CannotStart } from "./find-command.ts";
import { Guard } from "./guard.ts";
import { UnsupportedPlatform } from "./process-info.ts";

/** How commands are offered. */
export interface CommandJobOptions extends Partial<CommandRunHost> {
  /** Default: command. */
  readonly type?: string;
  /** Only started by this worker itself. Default: no. */
  readonly pinned?: boolean;
  /** Ended when the worker has not heard its server for the length of its lease. Default: no. */
  readonly exclusive?: boolean;
  /** What is run instead of what the job's parameters say, which are shortened and masked for people. */
  readonly command?: readonly string[];
  /** Where it is run instead of where they say. */
  readonly cwd?: string;
}

const schema: JsonObject = {
  type: "object",
  required: ["command"],
  additionalProperties: false,
  properties: {
    command: {
      type: "array",
      items: { type: "string" },
      minItems: 1,
      title: "Command",
      description: "The program and its arguments, one each. No shell sees them.",
    },
    cwd: { type: "string", title: "Folder", description: "Where it runs. Default: where the worker runs." },
    env: {
      type: "object",
      additionalProperties: { type: "string" },
      title: "Environment",
      description: "Variables that are added to the worker's.",
    },
    tty: {
      type: "boolean",
      default: false,
      title: "Terminal",
      description: "It gets a terminal: stderr becomes part of stdout, and lines end in CRLF.",
    },
    progress: {
      type: "boolean",
      default: true,
      title: "Read the progress",
      description: "A percentage, n/m or [n/m] that it prints becomes the job's progress.",
    },
    input: {
      type: "boolean",
      default: true,
      title: "Takes input",
      description: "What people send is its standard input. Off: that is empty.",
    },
    leave: {
      type: "boolean",
      default: false,
      title: "Leave processes behind",
      description: "Processes that are there when the command itself has ended go on. Off: they are ended.",
    },
    grace_seconds: {
      type: "number",
      minimum: 0,
      maximum: 3600,
      default: 2,
      title: "Grace for what is left behind, seconds",
      description: "How long processes that the command leaves behind have between TERM and KILL.",
    },
  },
};

/**
 * A job type that runs commands: any program, without a shell, captured byte for byte, paused, ended and killed with all its processes.
 * It runs what operators type, with the rights of the worker: offer it only where that is wanted.
 */
export function commandJob(options: CommandJobOptions = {}): JobDefinition<CommandParameters> {
  const { type = "command", pinned = false, exclusive = false, local, onEnd, command, cwd } = options;
  const guard = options.guard ?? new Guard();
  return defineJob<CommandParameters>({
    type,
    description: pinned
      ? "A command that somebody runs with `signalbox run`."
      : "Runs a command on the worker's machine, with the worker's rights.",
    parameters: schema,
    levers: ["run"],
    input: true,
    pinned,
    exclusive,
    // Its pause stops all processes wherever they stand.
    systemStop: true,
    async run(job) {
      let run: CommandRun;
      try {
        const parameters = {
          ...job.parameters,
          ...(command === undefined ? {} : { command }),
          ...(cwd === undefined ? {} : { cwd }),
        };
        run = new CommandRun(job, parameters, { guard, local, onEnd });
      } catch (error) {
        if (!(error instanceof UnsupportedPlatform)) throw error;
        onEnd?.(new CannotStart(126, error.message));
        throw new ProgramFailed(error.message, { exitCode: 126 });
      }
      job.handle({
        pause: () => run.pause(),
        resume: () => run.resume(),
        cancel: (graceMs) => run.end(graceMs),
      });
      return run.run();
    },
  });
}
