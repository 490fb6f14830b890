import { randomBytes } from "node:crypto";
import { hostname, userInfo } from "node:os";
import { plural } from "@signalbox/protocol/format";
import { readConnectConfig, type ConnectOptions } from "../config.ts";
import { readRedaction, type RedactOptions } from "../redaction/redact-options.ts";
import { argumentSecrets } from "../redaction/secret-values.ts";
import type { SpoolOptions } from "../spool/spool-config.ts";
import { startWorker } from "../start-worker.ts";
import type { StartedHere, Worker } from "../worker.ts";
import { exitCodeOf } from "./command-end.ts";
import { commandJob } from "./command-job.ts";
import { commandName } from "./command-name.ts";
import { CannotStart } from "./find-command.ts";
import { Guard } from "./guard.ts";
import { LocalSignals } from "./local-signals.ts";

/** What `signalbox run` was asked for. */
export interface RunCommandOptions extends Omit<ConnectOptions, "workerId"> {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** For people. Default: the command, shortened. */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** It gets a terminal. Default: no. */
  readonly tty?: boolean;
  /** Its progress is read from what it prints. Default: yes. */
  readonly progress?: boolean;
  /** Processes that are still there when the command itself has ended go on. Default: no, they are ended. */
  readonly leave?: boolean;
  /** People in the room can go on sending input when the local one has ended. Default: no. */
  readonly keepInputOpen?: boolean;
  /** How long they have to end by themselves. Default 2. */
  readonly graceSeconds?: number;
  /** Most bytes in memory that are not in the spool; then the command waits. Default 64 MB. */
  readonly bufferBytes?: number;
  /** Where output is kept until the server has it. `false`: in memory only. Default: see {@link SpoolOptions}. */
  readonly spool?: SpoolOptions | false;
  /** Which secrets the room does not get to see, beside those that stand in the arguments. Default: see {@link RedactOptions}. */
  readonly redact?: RedactOptions;
  /** Called when the server knows the job; with `tty` at a terminal, not before the command has ended. */
  readonly onJobId?: (jobId: string) => void;
  /** Called with what the person at the terminal should know, one sentence. Default: a line on stderr. */
  readonly onNotice?: (message: string) => void;
  /** Called with one sentence when the link to the server is lost, and when it is back. Default: `onNotice`. */
  readonly onLink?: (sentence: string) => void;
  /** Called with one sentence when somebody in the room cancels the job. Default: `onNotice`. */
  readonly onCancel?: (sentence: string) => void;
}

/** What became of it. */
export interface RunCommandResult {
  /** The command's exit code, or 128 and the number of the signal that ended it; 127 and 126: it could not be started. */
  readonly exitCode: number;
  /** Undefined: the server has never known it. */
  readonly jobId: string | undefined;
  /** Whether the server has everything that the command printed, and its end. */
  readonly delivered: boolean;
}

/** After the command's end the rest is delivered within this, milliseconds. */
const deliverMs = 15_000;
/** The same, if there has never been a link. */
const deliverWithoutLinkMs = 5000;
const leaveMs = 1000;
/** Notices that are held back; what comes after them is old news by then. */
const mostHeld = 100;
/** Larger parameters than that are not taken by the server. */
const longestRecordedBytes = 32 * 1024;
/** The same for the name and the value of a label, characters; a mask may be longer than what it stands for. */
const longestName = 200;

/**
 * Runs a command in this process's terminal, and puts it into the room: starts it at once, whether or not a server is there, ends when it
 * has ended and its last line is delivered. Signals that this process gets go to the command. Rejects with TypeError if an option
 * cannot be used. Ends nothing but the command: the caller exits with the code.
 */
export async function runCommand(options: RunCommandOptions): Promise<RunCommandResult> {
  const { command, tty = false, progress = true, leave = false, keepInputOpen = false, labels, graceSeconds } = options;
  const say = options.onNotice ?? ((message: string) => void process.stderr.write(`signalbox: ${message}\n`));
  const redact = { ...options.redact, values: [...(options.redact?.values ?? []), ...argumentSecrets(command)] };
  const { redactor } = readRedaction(redact);
  if (options.token) redactor.learn(options.token);
  const masked = (text: string) => redactor.text(text);
  const maskedCommand = command.map(masked);
  // While the command has the whole terminal, nothing else may be written there.
  const cwd = currentFolder();
  const held = new HeldBack(tty && process.stdin.isTTY);
  const notice = (message: string) => held.do(() => say(message));
  let exitCode = 126;
  let jobId: string | undefined;
  let wasLinked = false;
  const signals = new LocalSignals();
  const job = commandJob({
    type: "run",
    pinned: true,
    command,
    ...(cwd === undefined ? {} : { cwd }),
    guard: new Guard(notice),
    local: {
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      keepInputOpen,
      onSignal: signals.listen,
      notice,
      onCancel: ({ message, by }) => {
        const who = by ? `this job was canceled by ${by}` : "somebody in the room has canceled this job";
        const why = message === "canceled" ? "" : `: ${message}`;
        held.do(() => (options.onCancel ?? say)(`${who}${why}`));
      },
    },
    onEnd: (end) => {
      exitCode = end instanceof CannotStart ? end.exitCode : exitCodeOf(end);
      if (end instanceof CannotStart) notice(end.message);
    },
  });
  const worker = await startWorker({
    ...options,
    redact,
    workerId: workerId(),
    metadata: maskedValues({ ...readConnectConfig(options).metadata, ...whereabouts(cwd) }, masked),
    labels: {},
    transient: true,
    slots: 1,
    jobs: [job],
    onNotice: notice,
    onLink: (sentence) => held.do(() => (options.onLink ?? say)(sentence)),
    onState: ({ kind }) => {
      wasLinked ||= kind === "open";
    },
  });
  const started = worker.startHere("run", {
    name:
      options.name === undefined
        ? commandName(maskedCommand)
        : masked(options.name).slice(0, longestName).toWellFormed(),
    ...(labels ? { labels: maskedValues(labels, (value) => masked(value).slice(0, longestName)) } : {}),
    parameters: {
      command: recorded(maskedCommand),
      ...(cwd === undefined ? {} : { cwd: masked(cwd) }),
      tty,
      progress,
      leave,
      ...(graceSeconds === undefined ? {} : { grace_seconds: graceSeconds }),
    },
  });
  started.jobId.then(
    (id) => {
      jobId = id;
      held.do(() => options.onJobId?.(id));
    },
    () => undefined,
  );
  await started.settled;
  held.release();
  const fault = await delivery(started, signals, wasLinked ? deliverMs : deliverWithoutLinkMs);
  if (worker.droppedLines > 0)
    notice(
      `dropped, since the spool was full: ${plural(worker.droppedLines, "line")} of the output, for which gaps stand`,
    );
  if (fault) notice(faultWords(fault, jobId !== undefined, worker));
  await closed(worker);
  signals.close();
  return { exitCode, jobId, delivered: fault === undefined };
}

/** Does things at once, or, while they are held back, later and in order. */
class HeldBack {
  #waiting: (() => void)[] | undefined;

  constructor(holds: boolean) {
    this.#waiting = holds ? [] : undefined;
  }

  do(act: () => void): void {
    if (!this.#waiting) act();
    else if (this.#waiting.length < mostHeld) this.#waiting.push(act);
  }

  release(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const act of waiting) act();
  }
}

/** Why the server does not have everything. */
interface Fault {
  readonly reason: string;
  /** It never will, and what it does not have is dropped. */
  readonly isFinal: boolean;
}

/** Waits until the server has everything. Returns why it has not, if so. */
async function delivery(started: StartedHere, signals: LocalSignals, ms: number): Promise<Fault | undefined> {
  let stopListening: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const interrupted = new Promise<Fault>((resolve) => {
    stopListening = signals.listen((signal) => {
      if (signal === "SIGTSTP") process.kill(process.pid, "SIGSTOP");
      else if (signal !== "SIGCONT") resolve({ reason: `${signal} ended the wait for the server`, isFinal: false });
    });
  });
  const late = new Promise<Fault>((resolve) => {
    const reason = `the server did not confirm the end of the output within ${ms / 1000} s`;
    timer = setTimeout(() => resolve({ reason, isFinal: false }), ms);
  });
  const ended = started.ended.then(
    () => undefined,
    (error: unknown) => ({ reason: error instanceof Error ? error.message : String(error), isFinal: true }),
  );
  try {
    return await Promise.race([ended, interrupted, late]);
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}

function faultWords({ reason, isFinal }: Fault, isKnown: boolean, worker: Worker): string {
  if (isFinal && !isKnown) return `the room has nothing of it: ${reason}`;
  const rest = isFinal ? "what it does not have is dropped" : missing(worker.bufferedBytes, worker.spooledBytes);
  return `the room does not have all of it: ${reason}; ${rest}`;
}

/** What the server does not have, of which `kept` bytes are in the spool. */
function missing(bytes: number, kept: number): string {
  const lost = bytes - kept;
  if (bytes === 0) return "only the end is missing";
  const where = "the next signalbox run to that server delivers them, or signalbox spool deliver";
  if (kept === 0) return `the last ${amountOf(lost)} of the output are missing`;
  if (lost === 0) return `the last ${amountOf(kept)} of the output are kept here: ${where}`;
  return `the last ${amountOf(lost)} of the output are missing, and ${amountOf(kept)} before them are kept here: ${where}`;
}

function amountOf(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** Leaves the room. What is not delivered by now will not be. */
async function closed(worker: Worker): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, leaveMs);
  });
  await Promise.race([worker.stop("the command has ended"), enough]);
  clearTimeout(timer);
}

/** A name that no other process has: containers may share host name and pid. */
function workerId(): string {
  const host = hostname().replace(/[^A-Za-z0-9._-]/g, "-");
  return `run:${host.slice(0, 60)}:${process.pid}:${randomBytes(3).toString("hex")}`;
}

/** Where this process is; undefined if that folder was removed, which keeps no program from running. */
function currentFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** Where a command runs, for people. */
function whereabouts(cwd: string | undefined): Record<string, string> {
  const facts: Record<string, string> = { host: hostname(), pid: String(process.pid) };
  if (cwd !== undefined) facts.cwd = cwd;
  try {
    facts.user = userInfo().username;
  } catch {
    // A user without an entry, as in some containers.
  }
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, value.toWellFormed().slice(0, 500)]));
}

function maskedValues(values: Readonly<Record<string, string>>, masked: (text: string) => string) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, masked(value)]));
}

/** The arguments as the room shows them: all, unless they are very long. */
function recorded(command: readonly string[]): string[] {
  const kept: string[] = [];
  let bytes = 0;
  for (const word of command) {
    bytes += Buffer.byteLength(word) + 4;
    if (bytes > longestRecordedBytes) return [...kept, `… ${command.length - kept.length} more arguments`];
    kept.push(word.toWellFormed());
  }
  return kept;
}
