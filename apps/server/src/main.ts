import module from "node:module";
import { join } from "node:path";
import { makeFolder } from "@signalbox/protocol/make-folder";
import { settleAllocator } from "./allocator.ts";
import { ConfigError, helpText, readArguments, readConfig, UsageError, type Config } from "./config.ts";
import { EarlyPort } from "./http/early-port.ts";

// The program: reads what is set and starts the server. What the server is made of is loaded after that, so that it can come out of a
// cache: a server that was killed is back half a second earlier.

settleAllocator();
const config = settings();
if (config) {
  await keepCompiled(config.dataFolder);
  const workerPort = await EarlyPort.take(config.worker, "SIGNALBOX_WORKER_PORT");
  const { serve } = await import("./serve.ts");
  await serve(config, workerPort);
}

/** What is set by arguments and environment; undefined if there is nothing to start, which has been said. */
function settings(): Config | undefined {
  try {
    const { help, env } = readArguments(process.argv.slice(2));
    if (!help) return readConfig({ ...process.env, ...env });
    process.stdout.write(helpText);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
  return undefined;
}

/** Has compiled modules kept in the data folder, where nobody else can write. */
async function keepCompiled(dataFolder: string): Promise<void> {
  try {
    await makeFolder(dataFolder);
    module.enableCompileCache(join(dataFolder, "compiled"));
  } catch {
    // It only takes longer; if the folder cannot be used at all, the server says so.
  }
}
