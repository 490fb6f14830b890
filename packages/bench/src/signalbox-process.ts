import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { JobService, LiveService } from "@signalbox/protocol";
import type { JsonObject } from "@bufbuild/protobuf";
import { freePorts, runProgram } from "../../../scripts/programs.ts";

/** A server process with an empty store, for one measurement. */
export interface SignalboxProcess extends AsyncDisposable {
  /** The id of the server's present process. */
  readonly pid: number;
  readonly folder: string;
  readonly workerUrl: string;
  /** `http://127.0.0.1:port` of the port for browsers. */
  readonly webUrl: string;
  readonly tokenFile: string;
  /** Over gRPC, on the port of machine clients. */
  readonly jobs: Client<typeof JobService>;
  /** Over gRPC-Web, as a browser does. */
  readonly web: { readonly jobs: Client<typeof JobService>; readonly live: Client<typeof LiveService> };
  /** Kills the server (SIGKILL). */
  readonly kill: () => Promise<void>;
  /** Starts it again after {@link kill}, on the same folder and ports. Resolves when it prints its link. */
  readonly start: () => Promise<void>;
  /** The longest time for which the event loop of the present process stood still, milliseconds. */
  readonly longestGapMs: () => Promise<number>;
  /** Entries that the present process has stored. */
  readonly storedEntries: () => Promise<number>;
  /** All bytes that the first attempt of a job has printed, as they are stored. */
  readonly readLog: (jobId: string) => Promise<Buffer>;
  /** Starts a job as soon as its type is offered, and returns its id. */
  readonly startJob: (type: string, parameters?: JsonObject) => Promise<string>;
}

export async function startSignalbox(): Promise<SignalboxProcess> {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-bench-"));
  // For the workers that are started after it: what they spool goes with the store.
  process.env["SIGNALBOX_SPOOL_DIR"] = join(folder, "spool");
  const [port = 0, workerPort = 0] = await freePorts(2);
  const run = () =>
    runProgram("apps/server/src/main.ts", {
      SIGNALBOX_DATA: folder,
      SIGNALBOX_PORT: String(port),
      SIGNALBOX_WORKER_PORT: String(workerPort),
      SIGNALBOX_BUILT_IN_WORKER: "off",
      SIGNALBOX_OPEN: "off",
      SIGNALBOX_LOG_LEVEL: "warn",
    });
  let server = run();
  await server.printed(/#code=/);
  const tokenFile = join(folder, "token");
  const token = (await readFile(tokenFile, "utf8")).trim();
  const bearer: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const workerUrl = `http://127.0.0.1:${workerPort}`;
  const offered = new Set<string>();
  const jobs = createClient(JobService, createGrpcTransport({ baseUrl: workerUrl, interceptors: [bearer] }));
  const webUrl = `http://127.0.0.1:${port}`;
  const metric = async (name: string) => {
    const answer = await fetch(`${webUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    const line = (await answer.text()).split("\n").find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length) ?? NaN);
  };
  const web = createGrpcWebTransport({
    baseUrl: webUrl,
    httpVersion: "1.1",
    interceptors: [bearer],
  });
  return {
    get pid() {
      return server.process.pid ?? 0;
    },
    folder,
    workerUrl,
    webUrl,
    tokenFile,
    jobs,
    web: { jobs: createClient(JobService, web), live: createClient(LiveService, web) },
    kill: () => server.kill("SIGKILL"),
    async start() {
      server = run();
      await server.printed(/#code=/);
    },
    longestGapMs: async () => (await metric("signalbox_event_loop_longest_gap_seconds")) * 1000,
    storedEntries: () => metric("signalbox_store_appends_total"),
    async readLog(jobId) {
      const url = `http://127.0.0.1:${port}/jobs/${jobId}/attempts/1/log`;
      const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
      if (!answer.ok) throw new Error(`the log of ${jobId} cannot be read: ${answer.status}`);
      return Buffer.from(await answer.arrayBuffer());
    },
    async startJob(type, parameters = {}) {
      while (!offered.has(type)) {
        for (const each of (await jobs.listJobTypes({})).types) if (each.type) offered.add(each.type.name);
        if (!offered.has(type)) await delay(20);
      }
      const { job } = await jobs.startJob({ requestId: randomUUID(), type, parameters });
      return job?.id ?? "";
    },
    async [Symbol.asyncDispose]() {
      await server.kill("SIGTERM");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
