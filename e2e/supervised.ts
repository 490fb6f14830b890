import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, type Signalbox } from "./fixtures.ts";

const signalboxCommand = fileURLToPath(new URL("../packages/cli/bin/signalbox.cjs", import.meta.url));

/** How a command is run. */
export interface SupervisedOptions {
  /** Options of `signalbox run`. */
  readonly flags?: readonly string[];
  readonly cwd?: string;
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: nothing. `pipe`: what `write` is given. Else the path of a file. */
  readonly input?: string;
  /** `dropped`: nobody keeps what comes out here. */
  readonly echo?: "dropped";
}

/** A `signalbox run` in a process of its own. */
export class Supervised {
  /** The exit code; null if a signal has ended the supervisor. */
  readonly code: Promise<number | null>;
  readonly #signalbox: Signalbox;
  readonly #child: ChildProcess;
  readonly #name = `run-${Math.random().toString(36).slice(2)}`;
  readonly #out: Buffer[] = [];
  #errors = "";

  constructor(
    signalbox: Signalbox,
    words: readonly string[],
    { flags = [], cwd, env, input, echo }: SupervisedOptions,
  ) {
    this.#signalbox = signalbox;
    const file = input === undefined || input === "pipe" ? undefined : openSync(input, "r");
    this.#child = spawn(
      process.execPath,
      [signalboxCommand, "run", "--label", `test=${this.#name}`, ...flags, "--", ...words],
      {
        ...(cwd === undefined ? {} : { cwd }),
        env: {
          ...process.env,
          SIGNALBOX_URL: signalbox.workerUrl,
          SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
          SIGNALBOX_SPOOL_DIR: signalbox.spool,
          ...env,
        },
        stdio: [file ?? (input === "pipe" ? "pipe" : "ignore"), echo === "dropped" ? "ignore" : "pipe", "pipe"],
      },
    );
    if (file !== undefined) closeSync(file);
    this.#child.stdout?.on("data", (bytes: Buffer) => this.#out.push(bytes));
    this.#child.stderr?.on("data", (bytes: Buffer) => (this.#errors += bytes.toString()));
    this.code = once(this.#child, "close").then(([code]) => code as number | null);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#out);
  }

  stdout(): string {
    return this.bytes().toString();
  }

  stderr(): string {
    return this.#errors;
  }

  /** Waits until the room has its job. */
  async jobId(): Promise<string> {
    let id: string | undefined;
    await expect
      .poll(
        async () => {
          const { jobs } = await this.#signalbox.jobs.listJobs({});
          id = jobs.find(({ labels }) => labels["test"] === this.#name)?.id;
          return id;
        },
        { timeout: 30_000 },
      )
      .toBeDefined();
    return id ?? "";
  }

  /** Waits until the command has printed `name=pid`. */
  async printedPid(name: string): Promise<number> {
    const pattern = new RegExp(`${name}=(\\d+)\n`);
    await expect.poll(() => this.stdout(), { timeout: 30_000 }).toMatch(pattern);
    return Number(pattern.exec(this.stdout())?.[1]);
  }

  /** Gives the local input something. */
  write(text: string, { eof = false } = {}): void {
    if (eof) this.#child.stdin?.end(text);
    else this.#child.stdin?.write(text);
  }

  /** Resident memory of the supervisor over a time, megabytes: the most, and by how much the last third was above the first at its most. */
  async residentMegabytes(ms: number): Promise<{ most: number; growth: number }> {
    const samples: number[] = [];
    for (const end = performance.now() + ms; performance.now() < end; await delay(50)) {
      const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
      samples.push(Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]) / 1024);
    }
    const third = Math.ceil(samples.length / 3);
    return {
      most: Math.max(...samples),
      growth: Math.max(...samples.slice(-third)) - Math.max(...samples.slice(0, third)),
    };
  }

  /** Kills the supervisor, not the command. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.code;
  }
}
