import type { Job } from "../job.ts";
import { maskOf } from "../masks.ts";
import { Echo, isSameTarget } from "./echo.ts";
import type { LocalTerminal } from "./local-terminal.ts";
import type { Program, ProgramOutput } from "./program.ts";
import type { FoundProgress } from "./progress-patterns.ts";
import { ProgressWatch } from "./progress-watch.ts";
import { Pump } from "./pump.ts";

/** Full for so long, and the person at the terminal is told why nothing moves, milliseconds. */
const sayFullAfterMs = 2000;

/** Where the output of a command goes besides the log. */
export interface CommandOutputOptions {
  readonly local: LocalTerminal | undefined;
  /** The job's progress is read from it. */
  readonly findProgress: boolean;
}

/**
 * Takes what a program prints: into the job's log, to the local terminal, and into the job's progress. Nothing is read ahead: while the
 * log or the terminal has no room, the program waits.
 */
export class CommandOutput {
  readonly #job: Job<unknown>;
  readonly #local: LocalTerminal | undefined;
  readonly #pumps: readonly Pump[];
  readonly #watches: ProgressWatch[] = [];
  readonly #echoes: readonly Echo[];
  #saidFull = false;

  constructor(program: Program, job: Job<unknown>, { local, findProgress }: CommandOutputOptions) {
    this.#job = job;
    this.#local = local;
    const echoes = local ? echoesOf(local) : undefined;
    this.#echoes = echoes ? [...new Set(Object.values(echoes))] : [];
    this.#pumps = program.outputs.map((output) => this.#pump(output, echoes?.[output.source], findProgress));
  }

  /** No process of the program is left: takes what is still in the pipes. */
  async finish(): Promise<void> {
    await Promise.all(this.#pumps.map((pump) => pump.finish()));
    for (const watch of this.#watches) watch.close();
    await Promise.all(this.#echoes.map((echo) => echo.flush()));
  }

  #pump({ source, stream }: ProgramOutput, echo: Echo | undefined, findProgress: boolean): Pump {
    const { log } = this.#job;
    const watch = findProgress ? new ProgressWatch((found) => this.#sayProgress(found), maskOf(this.#job)) : undefined;
    if (watch) this.#watches.push(watch);
    return new Pump(stream, (bytes) => {
      try {
        log.write(bytes, source);
      } catch {
        // The log has overflowed, which has already ended the job.
        stream.destroy();
        return undefined;
      }
      const echoed = echo?.write(bytes);
      watch?.take(bytes);
      return log.hasRoom && !echoed ? undefined : Promise.all([echoed, this.#room()]);
    });
  }

  async #room(): Promise<void> {
    const { log } = this.#job;
    if (log.hasRoom) return;
    const timer = setTimeout(() => this.#sayFull(), sayFullAfterMs);
    try {
      await log.ready();
    } finally {
      clearTimeout(timer);
    }
  }

  #sayFull(): void {
    if (this.#saidFull) return;
    this.#saidFull = true;
    this.#local?.notice(
      "the server has not taken the output for a while and no more can be kept: the command waits for it",
    );
  }

  #sayProgress({ done, total, unit }: FoundProgress): void {
    this.#job.progress(unit === "items" ? { done, total } : { bytesDone: done, bytesTotal: total });
  }
}

/** One for both where they end in the same place, so that the order is kept. */
function echoesOf({ stdout, stderr, notice }: LocalTerminal): Record<"stdout" | "stderr", Echo> {
  const said = (name: string) => () =>
    notice(`nobody reads ${name} here any more: the command goes on in the room. Ctrl+C ends it.`);
  const out = new Echo(stdout, said("the output"));
  return { stdout: out, stderr: isSameTarget(stdout, stderr) ? out : new Echo(stderr) };
}
