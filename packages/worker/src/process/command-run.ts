import { randomBytes } from "node:crypto";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { JobCanceled, JobReleased, ProgramFailed, type Job, type ProgramEnd } from "../job.ts";
import { failureOf, programEndOf } from "./command-end.ts";
import { commandEnvironment } from "./command-environment.ts";
import { CommandInput } from "./command-input.ts";
import { CommandOutput } from "./command-output.ts";
import { CannotStart } from "./find-command.ts";
import type { Guard } from "./guard.ts";
import type { LocalTerminal } from "./local-terminal.ts";
import type { ProcessInfo } from "./process-info.ts";
import { ProcessTree } from "./process-tree.ts";
import { startProgram, type Program, type ProgramExit, type ProgramOptions } from "./program.ts";
import { startOnTerminal } from "./pty.ts";
import { systemProcesses } from "./system-processes.ts";
import { namesOf, TreeControl, type Ending } from "./tree-control.ts";

/** What a command is started with. */
export interface CommandParameters {
  /** The program and its arguments. No shell sees them. */
  readonly command: readonly string[];
  /** Where it runs; `~/` is the home folder. Default: where its worker runs. */
  readonly cwd?: string;
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** It gets a terminal. Default: no. */
  readonly tty?: boolean;
  /** Its progress is read from what it prints. Default: yes. */
  readonly progress?: boolean;
  /** People can send it input. Default: yes; else its input is empty. */
  readonly input?: boolean;
  /** Processes that are still there when the command itself has ended go on. Default: no, they are ended. */
  readonly leave?: boolean;
  /** How long they have to end by themselves, seconds. Default 2. */
  readonly grace_seconds?: number;
}

/** What a run needs from where it runs. */
export interface CommandRunHost {
  readonly guard: Guard;
  /** Undefined: nobody is here but the room. */
  readonly local?: LocalTerminal | undefined;
  /** Called with what became of the command, before its job ends. */
  readonly onEnd?: ((end: ProgramExit | CannotStart) => void) | undefined;
}

/** Between TERM and KILL of what a command leaves behind, unless told, milliseconds. */
const defaultGraceMs = 2000;
/** A fenced attempt names no time, milliseconds. */
const fencedGraceMs = 5000;
/** What is still there right after the command often only takes a moment to end, milliseconds. */
const stragglerMs = 250;
const lookEveryMs = 25;
/** A command that is paused from the room and shall end here, milliseconds. */
const pausedGraceMs = 5000;
const endings: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);
const defaultWindow = { columns: 80, rows: 24 };
/** Names of what lets this process into the room: commands of a worker have no business with it. */
const ownNames = ["SIGNALBOX_TOKEN", "SIGNALBOX_TOKEN_FILE", "SIGNALBOX_WORKER_ID"];

/** One command of one job, from its start to the end of its last process. */
export class CommandRun {
  readonly #job: Job<unknown>;
  readonly #parameters: CommandParameters;
  readonly #host: CommandRunHost;
  readonly #tree: ProcessTree;
  readonly #control: TreeControl;
  readonly #marker = randomBytes(8).toString("hex");
  /** Aborts when the processes are being ended, for whatever reason. */
  readonly #ends = new AbortController();
  readonly #started = Promise.withResolvers<Program>();
  readonly #sentHere = new Set<NodeJS.Signals>();
  #input: CommandInput | undefined;
  #killAtMs = Infinity;
  #ending: Promise<ProcessInfo[]> | undefined;
  #hasExited = false;
  #isPaused = false;

  /** Throws UnsupportedPlatform. */
  constructor(job: Job<unknown>, parameters: CommandParameters, host: CommandRunHost) {
    this.#job = job;
    this.#parameters = parameters;
    this.#host = host;
    this.#tree = new ProcessTree({ marker: this.#marker }, systemProcesses());
    this.#control = new TreeControl(this.#tree);
    // Whoever waits for the start hears of a failure there.
    this.#started.promise.catch(() => undefined);
  }

  /** Stops all processes. Rejects if they cannot be stopped. */
  async pause(): Promise<void> {
    await this.#started.promise;
    if (this.#ends.signal.aborted || this.#hasExited) throw new Error("the command is ending");
    await this.#control.stop(this.#ends.signal);
    this.#isPaused = true;
  }

  /** Continues what `pause` has stopped. */
  async resume(): Promise<void> {
    this.#isPaused = false;
    await this.#control.continue();
  }

  /** Ends all processes: TERM now, KILL in `graceMs`, or when they were to be killed anyway if that is sooner. */
  end(graceMs: number): void {
    this.#killAtMs = Math.min(this.#killAtMs, performance.now() + graceMs);
    this.#ends.abort();
    this.#ending ??= this.#started.promise.then(
      () => this.#control.end({ killAtMs: () => this.#killAtMs, onLook: (ending) => this.#sayPhase(ending) }),
      () => [],
    );
  }

  /** Runs the command. Resolves when no process of it is left. Throws ProgramFailed. */
  async run(): Promise<ProgramEnd> {
    const { signal } = this.#job;
    const onAbort = () => {
      const { reason } = signal as { reason: unknown };
      if (reason instanceof JobCanceled) this.#host.local?.onCancel?.(reason);
      this.end(reason instanceof JobCanceled || reason instanceof JobReleased ? reason.graceMs : fencedGraceMs);
    };
    const { guard, onEnd } = this.#host;
    guard.watch(this.#tree.root);
    try {
      signal.throwIfAborted();
      const program = await this.#start();
      const stopListening = this.#host.local?.onSignal((name) => this.#receiveSignal(name));
      try {
        signal.addEventListener("abort", onAbort);
        if (signal.aborted) onAbort();
        const exit = await this.#supervise(program);
        onEnd?.(exit);
        if ("code" in exit && exit.code === 0 && !signal.aborted) return programEndOf(exit);
        throw new ProgramFailed(failureOf(exit, this.#sentHere), programEndOf(exit));
      } finally {
        signal.removeEventListener("abort", onAbort);
        stopListening?.();
      }
    } catch (error) {
      this.#started.reject(error);
      if (!(error instanceof CannotStart)) throw error;
      onEnd?.(error);
      throw new ProgramFailed(error.message, { exitCode: error.exitCode });
    } finally {
      guard.forget(this.#marker);
    }
  }

  async #start(): Promise<Program> {
    const { command, tty = false } = this.#parameters;
    const { stdout } = this.#host.local ?? {};
    const options = { command, cwd: this.#cwd(), env: this.#environment() } satisfies ProgramOptions;
    const window = stdout?.columns && stdout.rows ? { columns: stdout.columns, rows: stdout.rows } : defaultWindow;
    const program = await (tty ? startOnTerminal(options, window) : startProgram(options));
    this.#tree.plant(program.pid);
    this.#host.guard.watch(this.#tree.root);
    this.#started.resolve(program);
    return program;
  }

  #cwd(): string | undefined {
    const { cwd = "" } = this.#parameters;
    if (cwd === "") return undefined;
    return resolve(cwd === "~" || cwd.startsWith("~/") ? homedir() + cwd.slice(1) : cwd);
  }

  #environment(): Record<string, string> {
    const { env = {}, tty = false } = this.#parameters;
    // Who runs a command at a terminal has given it this environment on purpose.
    const without = this.#host.local ? [] : ownNames;
    return commandEnvironment(process.env, { marker: this.#marker, extra: env, tty, without });
  }

  async #supervise(program: Program): Promise<ProgramExit> {
    const { leave = false, tty = false, input = true, progress = true } = this.#parameters;
    const { local } = this.#host;
    const output = new CommandOutput(program, this.#job, { local, findProgress: progress });
    this.#input = new CommandInput(program, this.#job, { local, tty, fromRoom: input });
    const onResize = () => {
      const { columns, rows } = local?.stdout ?? {};
      if (columns && rows) program.resize?.({ columns, rows });
    };
    if (tty) local?.stdout.on("resize", onResize);
    try {
      const exit = await program.exited;
      this.#hasExited = true;
      if (leave && !this.#ending) await this.#sayLeft();
      else await this.#endStragglers();
      await output.finish();
      if (this.#ending) this.#job.progress({ phase: "" });
      return exit;
    } finally {
      local?.stdout.off("resize", onResize);
      this.#input.close();
    }
  }

  /** The command itself has ended: so shall everything that it has brought about. */
  async #endStragglers(): Promise<void> {
    const { grace_seconds = defaultGraceMs / 1000 } = this.#parameters;
    if (!this.#ending) {
      const left = await this.#stragglers();
      if (left.length > 0) {
        this.#say(
          `The command has ended and left ${namesOf(left)} behind: told to end, and killed in ${grace_seconds} s.`,
        );
        this.end(grace_seconds * 1000);
      }
    }
    const survivors = (await this.#ending) ?? [];
    if (survivors.length > 0)
      this.#say(`Not gone, even after KILL: ${namesOf(survivors)}. The kernel or another user holds them.`);
  }

  async #stragglers(): Promise<ProcessInfo[]> {
    const deadlineMs = performance.now() + stragglerMs;
    for (;;) {
      const left = await this.#tree.look();
      if (left.length === 0 || this.#ending || performance.now() > deadlineMs) return left;
      await delay(lookEveryMs);
    }
  }

  async #sayLeft(): Promise<void> {
    const left = await this.#tree.look();
    if (left.length > 0)
      this.#job.log.info(`The command has ended. As asked, these go on, and nobody watches them: ${namesOf(left)}.`);
  }

  /** Here and in the room. */
  #say(message: string): void {
    this.#job.log.warn(message);
    this.#host.local?.notice(message);
  }

  #sayPhase({ left, killInMs }: Ending): void {
    const processes = left.length === 1 ? "1 process" : `${left.length} processes`;
    this.#job.progress({
      phase:
        killInMs > 0
          ? `TERM sent, ${processes} left, KILL in ${Math.ceil(killInMs / 1000)} s`
          : `KILL sent, ${processes} left`,
    });
  }

  /** Does what the terminal would have done to the program. */
  #receiveSignal(name: NodeJS.Signals): void {
    if (name === "SIGTSTP") void this.#standWithTerminal();
    else if (name === "SIGCONT") void this.#goOnWithTerminal();
    else if (this.#hasExited) {
      // What is left has been told to end already: whoever is impatient need not wait.
      this.end(0);
    } else if (this.#isPaused && endings.has(name)) {
      // Stopped, it could not obey.
      this.#sentHere.add(name);
      this.end(pausedGraceMs);
    } else {
      this.#sentHere.add(name);
      this.#tree.signalRoot(name);
    }
  }

  /** Ctrl+Z: the kernel ignores it for a session of its own, so everything is stopped, and then this process with it. */
  async #standWithTerminal(): Promise<void> {
    try {
      if (!this.#isPaused) await this.#control.stop(this.#ends.signal);
    } catch (error) {
      this.#host.local?.notice(error instanceof Error ? error.message : String(error));
      return;
    }
    process.kill(process.pid, "SIGSTOP");
  }

  async #goOnWithTerminal(): Promise<void> {
    this.#input?.look();
    if (!this.#isPaused) await this.#control.continue().catch(() => undefined);
  }
}
