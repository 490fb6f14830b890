import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../logger.ts";
import { openServer, type SignalboxServer } from "../server.ts";

/** A whole server, as the program runs it, in this process: on free ports, with a folder of its own that disposing removes. */
export interface TestServer extends AsyncDisposable {
  readonly server: SignalboxServer;
  readonly token: string;
  /** `http://127.0.0.1:port` of the listener for browsers. */
  readonly operatorUrl: string;
  /** `http://127.0.0.1:port` of the listener for workers. */
  readonly workerUrl: string;
}

/** Starts a test server. */
export async function openTestServer(): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-server-"));
  const any = { host: "loopback", port: 0 };
  const server = await openServer(
    {
      dataFolder: folder,
      operator: any,
      worker: any,
      allowedHosts: [],
      builtInWorker: false,
      builtInCommands: false,
      firstJob: false,
      logLevel: "silent",
      openBrowser: false,
      webFolder: join(folder, "web"),
    },
    createLogger({ level: "silent", readable: false }),
    "test",
  );
  await server.start();
  return {
    server,
    token: (await readFile(server.tokenFile, "utf8")).trim(),
    operatorUrl: server.origin.replace("localhost", "127.0.0.1"),
    workerUrl: server.workerUrl,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
