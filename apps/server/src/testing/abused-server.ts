import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, runProgram } from "../../../../scripts/programs.ts";
import type { ServerAddress } from "./canary.ts";

/** A server in a process of its own, so that its memory and its log are seen. */
export interface ServerProcess extends AsyncDisposable, ServerAddress {
  /** What it wrote into its log so far: a line each. */
  readonly log: () => string;
  /** Memory that it holds, bytes; 0 where there is no /proc. */
  readonly memory: () => number;
}

/** Starts a server with an empty store; disposing kills it. */
export async function startServerProcess(): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-process-"));
  const [port = 0, workerPort = 0] = await freePorts(2);
  const server = runProgram("apps/server/src/main.ts", {
    SIGNALBOX_DATA: folder,
    SIGNALBOX_PORT: String(port),
    SIGNALBOX_WORKER_PORT: String(workerPort),
    SIGNALBOX_BUILT_IN_WORKER: "off",
    SIGNALBOX_OPEN: "off",
  });
  await server.printed(/#code=/);
  return {
    operatorUrl: `http://127.0.0.1:${port}`,
    workerUrl: `http://127.0.0.1:${workerPort}`,
    token: (await readFile(join(folder, "token"), "utf8")).trim(),
    log: server.output,
    memory() {
      const status = `/proc/${server.process.pid}/status`;
      if (!existsSync(status)) return 0;
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(status, "utf8"))?.[1]) * 1024;
    },
    async [Symbol.asyncDispose]() {
      await server.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
