import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ClientCommandSchema,
  JobEventSchema,
  JobService,
  RunMode,
  RunService,
  WorkerService,
  type JobEvent,
  type JobRecord,
} from "@signalbox/protocol";
import { expect, onTestFinished, test, vi } from "vitest";
import { openTestServer } from "../testing/open-test-server.ts";
import { frame, openGrpc } from "../testing/raw-rpc.ts";
import { TestConsole } from "../testing/test-console.ts";
import { TestWorker } from "../testing/test-worker.ts";

// Each opens a store, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

// Consoles over real connections: what the network, and clients that do not read, do to them.

type CommandInit = NonNullable<MessageInitShape<typeof ClientCommandSchema>["command"]>;

/** A server with a job that runs, and what speaks to it. */
async function openRoom() {
  const server = await openTestServer();
  const bearer = { authorization: `Bearer ${server.token}` };
  const withToken: Interceptor = (next) => (request) => {
    request.header.set("authorization", bearer.authorization);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: server.workerUrl, interceptors: [withToken] });
  const jobs = createClient(JobService, transport);
  const worker = new TestWorker(createClient(WorkerService, transport), {
    types: [{ name: "count", levers: ["run", "speed"], takesInput: true }],
  });
  onTestFinished(async () => {
    await worker.kill();
    await server[Symbol.asyncDispose]();
  });
  await worker.heard("welcome");
  const { job } = await jobs.startJob({ requestId: "job", type: "count" });
  const spec = await worker.heard("spec");
  worker.report(spec);
  const jobId = job?.id ?? "";
  const get = async (): Promise<JobRecord> => {
    const { job } = await jobs.getJob({ jobId });
    if (!job) throw new Error("no job");
    return job;
  };
  await expect.poll(async () => (await get()).attempts.at(-1)?.startedAtUs).not.toBe(0n);
  const mode = async () => {
    const run = (await get()).spec?.levers.find(({ value }) => value?.value.case === "run")?.value?.value;
    return run?.case === "run" ? run.value.mode : undefined;
  };
  return { server, worker, jobs, jobId, mode, bearer, run: createClient(RunService, transport) };
}

/** A stream of RunJob of which nothing is read until `read` is called. */
class RawConsole {
  readonly session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;

  constructor(url: string, headers: Record<string, string>) {
    this.session = connect(url, { settings: { initialWindowSize: 65_535 } }).on("error", () => undefined);
    onTestFinished(() => this.session.destroy());
    this.#stream = openGrpc(this.session, "/signalbox.v1.RunService/RunJob", { headers }).on("error", () => undefined);
  }

  say(command: CommandInit, id = ""): void {
    this.#stream.write(frame(toBinary(ClientCommandSchema, create(ClientCommandSchema, { id, command }))));
  }

  /** Reads until an event fits. */
  async read(fits: (event: JobEvent["event"]) => boolean): Promise<JobEvent["event"][]> {
    let rest = Buffer.alloc(0);
    const events: JobEvent["event"][] = [];
    for await (const part of this.#stream) {
      rest = Buffer.concat([rest, part as Buffer]);
      for (;;) {
        const end = rest.length < 5 ? Infinity : 5 + rest.readUInt32BE(1);
        if (rest.length < end) break;
        const { event } = fromBinary(JobEventSchema, rest.subarray(5, end));
        rest = rest.subarray(end);
        events.push(event);
        if (fits(event)) return events;
      }
    }
    throw new Error("the stream ended before");
  }
}

/** Prints `count` lines of 1,000 bytes. */
async function print(worker: TestWorker, jobId: string, count: number): Promise<void> {
  const push = worker.push(jobId, 1);
  const line = "x".repeat(999);
  for (let from = 1; from <= count; from += 200) {
    push.lines(Array.from({ length: 200 }, () => line));
    await push.acknowledged(from + 200);
  }
}

test("consoles that nobody reads hold next to nothing, hear what is said to them, and have every line when they are read at last", async () => {
  // The library prints what happens to each of them when it goes; a server has that in its log.
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const { server, worker, jobId, mode, bearer } = await openRoom();
  const consoles = Array.from({ length: 20 }, () => new RawConsole(server.workerUrl, bearer));
  for (const each of consoles) each.say({ case: "start", value: { jobId, fromLine: 1n } });
  const held = () => {
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    return arrayBuffers + heapUsed;
  };
  await print(worker, jobId, 400);
  const before = held();
  const lines = 16_400;
  const push = worker.push(jobId, 1);
  const text = Array.from({ length: 200 }, () => "x".repeat(999));
  for (let next = 401; next <= lines; next += 200) {
    push.lines(text, next);
    await push.acknowledged(next + 200);
  }
  // 16 MB were printed: queues for twenty would hold 320 MB.
  expect(held() - before).toBeLessThan(120e6);

  consoles[0]?.say({ case: "pause", value: {} }, "p");
  await expect.poll(mode).toBe(RunMode.PAUSE);
  const events = (await consoles[0]?.read((event) => event.case === "log" && event.value.nextLine > lines)) ?? [];
  let next = 1n;
  for (const event of events) {
    if (event.case !== "log") continue;
    expect([event.value.firstLine, event.value.skippedLines]).toEqual([next, 0n]);
    next = event.value.nextLine;
  }
  expect(next).toBe(BigInt(lines + 1));
  expect(events.some((event) => event.case === "accepted" && event.value.id === "p")).toBe(true);
});

test.each([false, true])(
  "a connection that is cut, with cancel_on_close %s, cancels just that",
  async (cancelOnClose) => {
    const { server, jobId, mode, bearer } = await openRoom();
    const cut = new RawConsole(server.workerUrl, bearer);
    cut.say({ case: "start", value: { jobId, cancelOnClose } });
    await cut.read((event) => event.case === "state");
    // As a network does that goes away: no goodbye of any kind.
    cut.session.socket.destroy();
    if (cancelOnClose) await expect.poll(mode).toBe(RunMode.CANCEL);
    else {
      const other = new RawConsole(server.workerUrl, bearer);
      other.say({ case: "start", value: { jobId } });
      await other.read((event) => event.case === "state");
      expect(await mode()).toBe(RunMode.RUN);
    }
  },
);

test("a server that stops ends its consoles with UNAVAILABLE, and cancels no job", async () => {
  const { server, jobId, run } = await openRoom();
  const console = new TestConsole(run, { jobId, cancelOnClose: true });
  await console.heard("state");
  await server.server.stop();
  await console.end();
  expect(ConnectError.from(console.failure).code).toBe(Code.Unavailable);
  const { record } = server.server.domain.jobs.get(jobId);
  const mode = record.spec?.levers.find(({ value }) => value?.value.case === "run")?.value?.value;
  expect(mode).toMatchObject({ case: "run", value: { mode: RunMode.RUN } });
});

test("browsers' port has no consoles, and more on a connection than it may have are refused", async () => {
  const { server, jobId, bearer, run } = await openRoom();
  const answer = await fetch(`${server.operatorUrl}/signalbox.v1.RunService/RunJob`, {
    method: "POST",
    headers: { ...bearer, "content-type": "application/grpc-web+proto" },
  });
  expect(answer.headers.get("grpc-status")).toBe(String(Code.Unimplemented));
  const consoles = Array.from({ length: 257 }, () => new TestConsole(run, { jobId, withoutLog: true }));
  await expect.poll(() => consoles.filter(({ isOpen }) => !isOpen).length).toBe(1);
  const refused = consoles.find(({ isOpen }) => !isOpen);
  expect(ConnectError.from(refused?.failure).code).toBe(Code.ResourceExhausted);
  for (const each of consoles) await each.kill();
});
