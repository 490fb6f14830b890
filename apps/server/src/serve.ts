import { readFileSync } from "node:fs";
import module from "node:module";
import { relative } from "node:path";
import { BadKeyFile } from "./auth/key-file.ts";
import { builtInWorkerId, runBuiltInWorker, type BuiltInWorker } from "./built-in-worker.ts";
import { linkCommand } from "./commands.ts";
import { Collections, HeapCare } from "./heap-care.ts";
import type { Config } from "./config.ts";
import { CannotListen } from "./http/bind.ts";
import type { EarlyPort } from "./http/early-port.ts";
import { createLogger, routeConsole, type Logger } from "./logger.ts";
import { hasDesktop, openBrowser } from "./open-browser.ts";
import { openStore } from "./open-store.ts";
import { pause } from "./pause.ts";
import { readServerFile } from "./server-file.ts";
import type { SignalboxServer } from "./server.ts";
import { StoreLocked } from "./store/store.ts";

/** Everything must be over by then, milliseconds. */
const drainMs = 10_000;
/** Of which the built-in worker may take so much to report what becomes of its jobs. */
const workerGraceMs = 5_000;
/** npm passes on the Ctrl+C that the terminal has sent already: a second signal within this time is the same one. */
const sameSignalMs = 500;
const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Runs the server until it is told to stop or cannot go on, and ends the process then. What cannot be started is said on stderr.
 * `workerPort` takes the connections of workers already.
 */
export async function serve(config: Config, workerPort: EarlyPort): Promise<void> {
  const logger = createLogger({ level: config.logLevel, readable: process.stderr.isTTY });
  routeConsole(logger);
  const heap = [new Collections(), new HeapCare()];
  const crash = (error: unknown) => {
    logger.fatal({ err: error }, "unexpected error: the server ends, workers go on without it");
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  // Where files have a largest size, writing beyond it fails as on a full disk, instead of ending the process.
  process.on("SIGXFSZ", () => undefined);

  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  // Its threads start while the rest is loaded.
  const store = openStore(config, logger);
  store.catch(() => undefined); // Who opens the server hears it.
  const { openServer } = await import("./server.ts");
  let server: SignalboxServer;
  try {
    server = await openServer(config, logger, version, store, workerPort);
  } catch (error) {
    workerPort.close();
    if (error instanceof StoreLocked) return fail(await explainLock(config.dataFolder));
    if (error instanceof BadKeyFile) return fail(error.message);
    const unusable = whyUnusable(config.dataFolder, error);
    if (unusable !== undefined)
      return fail(
        `The data folder ${config.dataFolder} cannot be used: ${unusable}. Name another one in SIGNALBOX_DATA, or make it yours.`,
      );
    logger.fatal({ err: error, dataFolder: config.dataFolder }, "the data folder cannot be opened");
    process.exitCode = 1;
    return;
  }
  let builtIn: BuiltInWorker | undefined;
  const stopping = new AbortController();
  endOnSignals(logger, async () => {
    stopping.abort();
    server.beginDrain();
    if (builtIn) await stopBuiltInWorker(server, builtIn);
    await server.stop();
    for (const each of heap) each.close();
  });
  const storeFailed = () => {
    const reason: unknown = server.failed.reason;
    logger.fatal(
      { err: reason },
      `the disk did not keep what was written to ${config.dataFolder} (${reason instanceof Error ? reason.message : String(reason)}): nothing is acknowledged any more and the server ends; workers keep their lines. Look after the disk, then start Signalbox again`,
    );
    process.exit(1);
  };
  server.failed.addEventListener("abort", storeFailed);
  if (server.failed.aborted) storeFailed();

  try {
    await server.start();
  } catch (error) {
    await server.stop();
    if (!(error instanceof CannotListen)) throw error;
    return fail(error.message);
  }
  if (stopping.signal.aborted) return;
  const link = server.newLink();
  process.stdout.write(startText(server, config, link, version));
  // Not only at the end, which may be a kill.
  module.flushCompileCache();
  if (config.builtInWorker) {
    const { workerUrl, tokenFile } = server;
    const { dataFolder, builtInCommands: commands } = config;
    builtIn = runBuiltInWorker({ workerUrl, tokenFile, dataFolder, commands, logger });
  }
  if (config.openBrowser && hasDesktop(process.env, process.platform, process.stdout.isTTY)) {
    await openBrowser(link, logger);
  }
  if (config.builtInWorker && config.firstJob) await startFirstJob(server, stopping.signal);
}

/** What the system says about a folder, or one that it lies in, that cannot be made or used; undefined if something else is wrong. */
function whyUnusable(folder: string, error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { path } = error as NodeJS.ErrnoException;
  return path !== undefined && (isIn(path, folder) || isIn(folder, path)) ? error.message : undefined;
}

function isIn(path: string, folder: string): boolean {
  return !relative(folder, path).startsWith("..");
}

function startText(server: SignalboxServer, { dataFolder }: Config, link: string, version: string): string {
  return `
Signalbox ${version} is running. Open this link within 15 minutes; it works once, and '${linkCommand}' prints another one:

  ${link}

  Workers   ${server.workerUrl}, with the token in ${server.tokenFile}
  Data      ${dataFolder}
  Stop      Ctrl+C

`;
}

/** Starts the first job of a new store as soon as a worker offers its type. */
async function startFirstJob({ domain }: SignalboxServer, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && domain.jobs.size === 0) {
    await domain.startFirstJob("index", "First job: index this installation");
    await pause(100, signal);
  }
}

/** Stops the built-in worker, also one that a killed server left behind, so that it reports what becomes of its jobs. */
async function stopBuiltInWorker({ domain }: SignalboxServer, builtIn: BuiltInWorker): Promise<void> {
  const deadline = AbortSignal.timeout(workerGraceMs);
  await builtIn.stop(workerGraceMs);
  const isConnected = () => domain.workers.isConnected(builtInWorkerId);
  if (isConnected()) domain.workers.stop(builtInWorkerId, "Signalbox was stopped.");
  while (isConnected() && !deadline.aborted) await pause(20, deadline);
}

/** Ends the process in order at the first signal, and at once at a second one. */
function endOnSignals(logger: Logger, stop: () => Promise<void>): void {
  let firstAt: number | undefined;
  for (const [signal, number] of Object.entries(signalNumbers)) {
    process.on(signal, () => {
      if (firstAt !== undefined) {
        if (performance.now() - firstAt > sameSignalMs) process.exit(128 + number);
        return;
      }
      firstAt = performance.now();
      logger.info("stopping; the same signal again ends at once");
      const tooLong = setTimeout(() => {
        logger.error(`not everything has ended within ${drainMs / 1000} s`);
        process.exit(1);
      }, drainMs);
      stop().then(
        () => {
          clearTimeout(tooLong);
          logger.info("stopped");
          process.exit(0);
        },
        (error: unknown) => {
          logger.fatal({ err: error }, "stopping failed");
          process.exit(1);
        },
      );
    });
  }
}

async function explainLock(dataFolder: string): Promise<string> {
  const other = await readServerFile(dataFolder);
  const who = other ? ` at ${other.origin} (process ${other.pid}); '${linkCommand}' prints a link to it` : "";
  return `Signalbox already runs with the data folder ${dataFolder}${who}. For a second one give another folder and other ports: --data, --port, --worker-port.`;
}

function fail(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exitCode = 1;
}
