import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "./logger.ts";
import { pause } from "./pause.ts";

/** The name under which the built-in worker connects. */
export const builtInWorkerId = "built-in";

const logName = "built-in-worker.log";
/** Larger than that at a start of the worker, and its log begins anew; one older file is kept. */
const maxLogBytes = 1024 * 1024;
/** How much of what a crashed worker printed goes to the server's log. */
const lastBytes = 2_048;

/** How the worker is kept running. */
export interface BuiltInWorkerOptions {
  /** Where it connects to. */
  readonly workerUrl: string;
  readonly tokenFile: string;
  readonly dataFolder: string;
  /** It runs the commands that operators type. Default: no. */
  readonly commands?: boolean;
  readonly logger: Logger;
  /** The program, started with this process's Node. Tests give another one. */
  readonly program?: string;
  /** Waits between starts, milliseconds. */
  readonly pauses?: { readonly afterCrash?: number; readonly afterQuietEnd?: number };
}

/** The worker process that comes with Signalbox. */
export interface BuiltInWorker {
  /**
   * Asks the process to end and waits, at most `graceMs`, for it to report what becomes of its jobs; then kills it. Starts no other
   * one. May be called twice.
   */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Starts the built-in worker and starts it again, ever more slowly, when it crashes.
 *
 * The process outlives a killed server on purpose: jobs go on while the server is away. So it has its own session (Ctrl+C goes to
 * the server, which stops it in order), no pipe to this process that could break, and writes to `<data>/built-in-worker.log`. A
 * lock in the data folder lets only one of them run; a second one ends at once with code 0. Then this looks again from time to
 * time, in case the other one goes.
 */
export function runBuiltInWorker(options: BuiltInWorkerOptions): BuiltInWorker {
  const { logger, dataFolder } = options;
  const program = options.program ?? fileURLToPath(import.meta.resolve("@signalbox/built-in-worker/main"));
  const afterCrash = options.pauses?.afterCrash ?? 1_000;
  const afterQuietEnd = options.pauses?.afterQuietEnd ?? 30_000;
  const stopping = new AbortController();
  let child: ChildProcess | undefined;

  async function keepRunning() {
    let crashes = 0;
    let saidOther = false;
    while (!stopping.signal.aborted) {
      const startedAt = performance.now();
      const end = await runOnce();
      if (stopping.signal.aborted) return;
      let pauseMs = afterQuietEnd;
      if (end.code === 0) {
        if (!saidOther) logger.info("another built-in worker is running, or this one was stopped: looking again later");
        saidOther = true;
      } else {
        crashes = performance.now() - startedAt > 60_000 ? 1 : crashes + 1;
        pauseMs = Math.min(afterCrash * 2 ** (crashes - 1), 30_000);
        for (const line of end.lastLines) logger.error(`built-in worker: ${line}`);
        logger.error({ exitCode: end.code, signal: end.signal, againInMs: pauseMs }, "the built-in worker crashed");
      }
      await pause(pauseMs, stopping.signal);
    }
  }

  async function runOnce(): Promise<{ code: number | null; signal: NodeJS.Signals | null; lastLines: string[] }> {
    const path = join(dataFolder, logName);
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    );
    if (size > maxLogBytes) await rename(path, `${path}.1`);
    const log = await open(path, "a+", 0o600);
    try {
      const { size: from } = await log.stat();
      const started = spawn(process.execPath, [program], {
        detached: true,
        stdio: ["ignore", log.fd, log.fd],
        env: {
          ...process.env,
          SIGNALBOX_URL: options.workerUrl,
          SIGNALBOX_TOKEN_FILE: options.tokenFile,
          SIGNALBOX_DATA: dataFolder,
          SIGNALBOX_WORKER_ID: builtInWorkerId,
          SIGNALBOX_BUILT_IN_COMMANDS: options.commands ? "on" : "off",
        },
      });
      child = started;
      logger.debug({ workerPid: started.pid }, "built-in worker started");
      const [code, signal] = (await once(started, "exit")) as [number | null, NodeJS.Signals | null];
      const { size: to } = await log.stat();
      const { buffer, bytesRead } = await log.read({
        buffer: Buffer.alloc(lastBytes),
        position: Math.max(from, to - lastBytes),
      });
      const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
      return { code, signal, lastLines: lines.filter((line) => line.trim() !== "") };
    } finally {
      child = undefined;
      await log.close();
    }
  }

  const running = keepRunning().catch((error: unknown) => {
    logger.error({ err: error }, "the built-in worker cannot be started");
  });

  return {
    async stop(graceMs = 5_000) {
      stopping.abort();
      child?.kill("SIGTERM");
      const killer = setTimeout(() => {
        logger.warn("the built-in worker does not end: killed");
        child?.kill("SIGKILL");
      }, graceMs);
      await running;
      clearTimeout(killer);
    },
  };
}
