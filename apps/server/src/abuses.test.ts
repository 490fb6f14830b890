import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import {
  ChunkBodySchema,
  ChunkBuilder,
  ConnectRequestSchema,
  GetJobRequestSchema,
  JobService,
  ListJobsRequestSchema,
  PushLogsRequestSchema,
  ReadLogsRequestSchema,
  StartJobRequestSchema,
  WatchRequestSchema,
  WorkerService,
} from "@signalbox/protocol";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ask, grpc } from "./http/test-listeners.ts";
import { startServerProcess, type ServerProcess } from "./testing/abused-server.ts";
import { Canary } from "./testing/canary.ts";
import {
  endHeaders,
  endStream,
  frameType,
  grpcHeaders,
  headerBlock,
  http2Frame,
  preface,
  RawHttp2,
  uint32,
} from "./testing/raw-http2.ts";
import { callGrpc, callWeb, frame, messageOf, openGrpc, readGrpc, type RawAnswer } from "./testing/raw-rpc.ts";
import { TestWorker } from "./testing/test-worker.ts";

// What a client may come with to harm a server: each with the answer that it must get, while a canary on the same server, a healthy
// worker with a running job and a reader of its log, must not notice. What other tests hold already stands in `elsewhere`, by name.

const service = (name: string) => `/signalbox.v1.${name}`;
const connectPath = service("WorkerService/Connect");
const pushPath = service("WorkerService/PushLogs");
const watchPath = service("LiveService/Watch");
const startPath = service("JobService/StartJob");
const listPath = service("JobService/ListJobs");
const getPath = service("JobService/GetJob");
const typesPath = service("JobService/ListJobTypes");
const readPath = service("LogService/ReadLogs");

const mebibyte = 1024 * 1024;

let server: ServerProcess;
let canary: Canary;
let dripping: Promise<number>;
let quietBytes: number;

beforeAll(async () => {
  server = await startServerProcess();
  canary = await Canary.start(server);
  await canary.sings();
  quietBytes = server.memory();
  dripping = drip();
}, 60_000);
afterAll(() => server[Symbol.asyncDispose]());

const auth = () => ({ authorization: `Bearer ${server.token}` });
const encode = <D extends DescMessage>(desc: D, init: MessageInitShape<D>) => toBinary(desc, create(desc, init));
const subscribe = (count: number) =>
  frame(
    encode(WatchRequestSchema, {
      subscriptions: Array.from({ length: count }, (_, i) => ({
        id: `${i}`,
        kind: { case: "jobs" as const, value: {} },
      })),
    }),
  );
const times = (count: number, one: (i: number) => Uint8Array) =>
  Buffer.concat(Array.from({ length: count }, (_, i) => one(i)));

function session(): ClientHttp2Session {
  const opened = connectHttp2(server.workerUrl).on("error", () => undefined);
  onTestFinished(() => opened.destroy());
  return opened;
}

/** `status 3` of a gRPC call, or `http 415` of an answer that is none. No answer tells how the server is made. */
function said(answer: RawAnswer): string {
  harmless(`${answer.text}${messageOf(answer)}`);
  const status = answer.trailers["grpc-status"];
  return status === undefined ? `http ${answer.http}` : `status ${status}`;
}

function harmless(text: string): void {
  expect(text).not.toMatch(/node_modules|\.ts\b|\bat \S+ \(|\/src\/|signalbox-process/);
}

const overGrpc = async (path: string, body: Uint8Array, headers: Record<string, string> = auth()) =>
  said(await callGrpc(session(), path, { headers, body }));

const overWeb = async (path: string, body: Uint8Array, headers: Record<string, string> = auth()) =>
  said(await callWeb(server.operatorUrl, path, { headers, body }));

async function overHttp(path: string, options: Parameters<typeof ask>[2] = {}): Promise<string> {
  const answer = await ask(server.operatorUrl, path, options);
  harmless(answer.body);
  return `http ${answer.status}`;
}

/** Connect's own JSON, as curl sends it. */
const asJson = (path: string, body: string) =>
  overHttp(path, { method: "POST", headers: { "content-type": "application/json", ...auth() }, body });

/** What becomes of a hello. */
const hello = (value: Record<string, unknown>) =>
  overGrpc(
    connectPath,
    frame(
      encode(ConnectRequestSchema, {
        message: { case: "hello", value: { workerId: "abuser", incarnation: crypto.randomUUID(), slots: 1, ...value } },
      }),
    ),
  );

/** What becomes of chunks that a worker of its own with a running job sends. Says whether all was acknowledged, if the stream ends well. */
async function push(...chunks: Uint8Array[]): Promise<string> {
  const transport = grpc(server.workerUrl, auth());
  await using worker = new TestWorker(createClient(WorkerService, transport), {
    workerId: "abuser",
    types: [{ name: "abuse" }],
  });
  await worker.heard("welcome");
  const { job } = await createClient(JobService, transport).startJob({
    requestId: crypto.randomUUID(),
    type: "abuse",
    workerId: "abuser",
  });
  const spec = await worker.heard("spec", ({ jobId }) => jobId === job?.id);
  worker.report(spec);
  const open = { case: "open", value: { jobId: spec.jobId, attempt: 1, incarnation: worker.incarnation } } as const;
  const messages = [open, ...chunks.map((value) => ({ case: "chunk", value }) as const)];
  const body = Buffer.concat(messages.map((message) => frame(encode(PushLogsRequestSchema, { message }))));
  const answer = await overGrpc(pushPath, body);
  const { vitals } = await createClient(JobService, transport).getJob({ jobId: spec.jobId });
  return `${answer}, ${vitals?.lines ?? 0n} lines`;
}

/** Lines as a worker encodes them, whatever it says of their time. */
function lines(texts: readonly string[], first: number, timeUs = Date.now() * 1000): Uint8Array {
  const builder = new ChunkBuilder();
  for (const text of texts) builder.add(Buffer.from(`${text}\n`), { timeUs });
  return builder.build(first);
}

/** A chunk that no worker would encode. */
const badChunk = (change: MessageInitShape<typeof ChunkBodySchema>) =>
  encode(ChunkBodySchema, {
    firstLine: 1n,
    lineCount: 1,
    timeDeltaUs: [0],
    length: [2],
    lineFlags: new Uint8Array(1),
    blob: Buffer.from("a\n"),
    ...change,
  });

/** How a connection ends on which the same kind of frames comes for ever. */
async function flood(first: Uint8Array, bytes: (round: number) => Uint8Array): Promise<string> {
  const raw = await RawHttp2.open(server.workerUrl);
  onTestFinished(() => raw.close());
  raw.send(first);
  await raw.flood(bytes, AbortSignal.timeout(15_000));
  return raw.closed ? "closed" : "open";
}

const call = (stream: number, path = listPath) =>
  http2Frame(frameType.headers, endHeaders, stream, grpcHeaders(path, server.token));

/** A value in a list in a value, so many times, as the parameters of a job. */
function nested(depth: number): Buffer {
  const heads: Buffer[] = [];
  let length = 0;
  const wrap = (tag: number) => {
    heads.push(Buffer.concat([Buffer.of(tag), varint(length)]));
    length += heads.at(-1)?.length ?? 0;
  };
  for (let i = 0; i < depth; i++) {
    wrap(0x0a);
    wrap(0x32);
  }
  wrap(0x12);
  heads.push(Buffer.of(0x0a, 1, 0x61));
  length += 3;
  wrap(0x0a);
  wrap(0x22);
  return Buffer.concat(heads.reverse());
}

function varint(value: number): Buffer {
  const bytes = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** A Connect stream that gets a byte now and then, from the first row to the last. Resolves with how many seconds it was left open. */
async function drip(): Promise<number> {
  const own = connectHttp2(server.workerUrl).on("error", () => undefined);
  const stream = openGrpc(own, connectPath, { headers: auth() }).on("error", () => undefined);
  const beganAt = performance.now();
  stream.resume();
  const say = (message: NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>) =>
    frame(encode(ConnectRequestSchema, { message }));
  stream.write(say({ case: "hello", value: { workerId: "drip", incarnation: crypto.randomUUID(), slots: 1 } }));
  stream.write(say({ case: "leaving", value: { reason: "x".repeat(1_000) } }).subarray(0, 100));
  const timer = setInterval(() => stream.write(Buffer.alloc(1)), 5_000);
  await once(stream, "close");
  clearInterval(timer);
  own.destroy();
  return (performance.now() - beganAt) / 1000;
}

/** Connections that say `bytes` and then nothing. */
async function silent(url: string, count: number, bytes: string): Promise<Socket[]> {
  const { hostname, port } = new URL(url);
  const sockets = Array.from({ length: count }, () => connect(Number(port), hostname).on("error", () => undefined));
  onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) socket.on("connect", () => socket.write(bytes)).resume();
  await expect.poll(() => sockets.every(({ connecting }) => !connecting), { timeout: 15_000 }).toBe(true);
  return sockets;
}

const wrongTokens = [
  "",
  "Bearer",
  "Bearer x",
  "Basic eDp5",
  `Bearer ${"x".repeat(8_000)}`,
  "Bearer eyJhbGciOiJub25lIn0.e30.",
];

interface Abuse {
  /** Its row in the catalogue. */
  readonly row: string;
  readonly what: string;
  readonly gets: string | RegExp;
  readonly run: () => Promise<string>;
}

const statuses = (count: number, code: Code) => Array.from({ length: count }, () => `status ${code}`).join();

const abuses: readonly Abuse[] = [
  {
    row: "A1",
    what: "a message that claims 4 GiB, and then silence",
    gets: `status ${Code.ResourceExhausted}`,
    run: async () => {
      const stream = openGrpc(session(), connectPath, { headers: auth() });
      stream.write(Buffer.of(0, 0xff, 0xff, 0xff, 0xff));
      return said(await readGrpc(stream));
    },
  },
  {
    row: "A4",
    what: "random bytes in every call",
    gets: /^(status \d+,?)+$/,
    run: async () => {
      const noise = Buffer.from(Array.from({ length: 2_000 }, (_, i) => (i * 7919 + 13) % 251));
      const paths = [connectPath, pushPath, watchPath, startPath, listPath, getPath, readPath];
      return (await Promise.all(paths.map((path) => overGrpc(path, frame(noise))))).join();
    },
  },
  {
    row: "A5",
    what: "parameters nested 10,000 deep, in binary",
    gets: new RegExp(`^status (${Code.InvalidArgument}|${Code.Internal})$`),
    run: () => overGrpc(startPath, frame(nested(10_000))),
  },
  {
    row: "A5",
    what: "parameters nested 10,000 deep, as JSON",
    gets: "http 400",
    run: () => asJson(startPath, `{"parameters":{"a":${"[".repeat(10_000)}${"]".repeat(10_000)}}}`),
  },
  {
    row: "A6",
    what: "900 KB of fields that nobody knows, in a start: they are not kept",
    gets: "kept nothing",
    run: async () => {
      const start = encode(StartJobRequestSchema, { requestId: "unknown-fields", type: "canary", workerId: "canary" });
      const unknown = Buffer.concat([Buffer.of(0xfa, 0x07), varint(900_000), Buffer.alloc(900_000, "x")]);
      const answer = await callGrpc(session(), startPath, {
        headers: auth(),
        body: frame(Buffer.concat([start, unknown])),
      });
      const bytes = answer.frames[0]?.data.length ?? 0;
      return said(answer) === "status 0" && bytes > 0 && bytes < 10_000 ? "kept nothing" : `${said(answer)} ${bytes}`;
    },
  },
  {
    row: "A8",
    what: "a line of 100 KiB in one piece",
    gets: `status ${Code.InvalidArgument}, 0 lines`,
    run: () => push(badChunk({ length: [100_000], blob: Buffer.alloc(100_000, "x") })),
  },
  {
    row: "A9",
    what: "60,000 lines that are empty",
    gets: "status 0, 60000 lines",
    run: () =>
      push(
        ...[1, 20_001, 40_001].map((first) =>
          lines(
            Array.from({ length: 20_000 }, () => ""),
            first,
          ),
        ),
      ),
  },
  {
    row: "A13",
    what: "a line within a line",
    gets: `status ${Code.InvalidArgument}, 0 lines`,
    run: () => push(badChunk({ length: [8], blob: Buffer.from("a\n[srv] \n") })),
  },
  {
    row: "A14",
    what: "lines of the years -10000 and 9999, and of none",
    gets: /^status (0, 2|3, 0) lines,status 3, 0 lines$/,
    run: async () => {
      const edge = lines(["a", "b"], 1, 7_900_000_000_000_000);
      return [await push(edge), await push(badChunk({ baseTimeUs: -(2n ** 63n) }))].join();
    },
  },
  ...[0n, 2n ** 53n, 2n ** 64n - 1n].map((firstLine) => ({
    row: "A15",
    what: `lines from number ${firstLine} on`,
    gets: `status ${Code.InvalidArgument}, 0 lines`,
    run: () => push(badChunk({ firstLine })),
  })),
  {
    row: "A15",
    what: "a million lines further on than the next one",
    gets: `status ${Code.Aborted}, 0 lines`,
    run: () => push(badChunk({ firstLine: 1_000_000n })),
  },
  {
    row: "A16",
    what: "the same line with other bytes: the first one stands, the stream goes on",
    gets: "status 0, 2 lines",
    run: () => push(lines(["first"], 1), lines(["other"], 1), lines(["second"], 2)),
  },
  {
    row: "A17",
    what: "lines for another worker's job",
    gets: `status ${Code.FailedPrecondition}`,
    run: async () => {
      const transport = grpc(server.workerUrl, auth());
      await using worker = new TestWorker(createClient(WorkerService, transport), { workerId: "thief" });
      await worker.heard("welcome");
      const open = { jobId: canary.jobId, attempt: 1, incarnation: worker.incarnation };
      return await overGrpc(pushPath, frame(encode(PushLogsRequestSchema, { message: { case: "open", value: open } })));
    },
  },
  {
    row: "A24",
    what: "tokens of every wrong kind, on both ports",
    gets: statuses(2 * wrongTokens.length, Code.Unauthenticated),
    run: async () =>
      (
        await Promise.all(
          wrongTokens.flatMap((authorization) => [
            overGrpc(listPath, frame(new Uint8Array()), { authorization }),
            overWeb(listPath, frame(new Uint8Array()), { authorization }),
          ]),
        )
      ).join(),
  },
  {
    row: "A25",
    what: "the token in the address, on the port for workers",
    gets: `status ${Code.Unauthenticated}`,
    run: () => overGrpc(`${typesPath}?access_token=${server.token}`, frame(new Uint8Array()), {}),
  },
  {
    row: "A31",
    what: "headers that only a proxy may send",
    gets: "http 401",
    run: () =>
      overHttp("/metrics", {
        headers: {
          "x-forwarded-user": "admin",
          "remote-user": "admin",
          "x-forwarded-for": "127.0.0.1",
          forwarded: "for=::1",
        },
      }),
  },
  {
    row: "A31",
    what: "a known host that only a proxy would name, behind an unknown one",
    gets: "http 421",
    run: () => overHttp("/metrics", { headers: { host: "evil.example", "x-forwarded-host": "localhost", ...auth() } }),
  },
  ...["' OR 1=1 --", "../../etc/passwd", "%2e%2e%2f", "a\0b", "x".repeat(100_000)].map((jobId) => ({
    row: "A36",
    what: `the job '${jobId.slice(0, 20)}'`,
    gets: statuses(2, Code.NotFound),
    run: async () =>
      [
        await overGrpc(getPath, frame(encode(GetJobRequestSchema, { jobId }))),
        await overWeb(readPath, frame(encode(ReadLogsRequestSchema, { jobId }))),
      ].join(),
  })),
  ...[
    "/jobs/..%2f..%2fetc/attempts/1/log",
    "/jobs/x/attempts/-1/log",
    "/jobs/x/attempts/1e9/log",
    "/assets/..%2f..%2f..%2ftoken",
  ].map((path) => ({ row: "A36", what: path, gets: "http 404", run: () => overHttp(path, { headers: auth() }) })),
  ...["../up", "a b", "x".repeat(101), "", "<script>"].map((workerId) => ({
    row: "A36",
    what: `a worker called '${workerId.slice(0, 20)}'`,
    gets: `status ${Code.InvalidArgument}`,
    run: () => hello({ workerId }),
  })),
  {
    row: "A37",
    what: "a page of four billion jobs, and lines from the end of numbers",
    gets: `status ${Code.InvalidArgument},status 0`,
    run: async () =>
      [
        await overGrpc(listPath, frame(encode(ListJobsRequestSchema, { pageSize: 2 ** 32 - 1 }))),
        await overGrpc(
          readPath,
          frame(encode(ReadLogsRequestSchema, { jobId: canary.jobId, fromLine: 2n ** 63n, maxBytes: 2 ** 32 - 1 })),
        ),
      ].join(),
  },
  {
    row: "A38",
    what: "a watch of 33 subscriptions, and of 10,000",
    gets: `status ${Code.InvalidArgument},status ${Code.ResourceExhausted}`,
    run: async () => [await overGrpc(watchPath, subscribe(33)), await overGrpc(watchPath, subscribe(10_000))].join(),
  },
  {
    row: "A38",
    what: "watches without number on one connection",
    gets: "32 watch, 68 are refused",
    run: async () => {
      const own = session();
      const ends: string[] = [];
      for (let i = 0; i < 100; i++)
        void readGrpc(openGrpc(own, watchPath, { headers: auth() }).end(subscribe(1))).then(
          (answer) => ends.push(said(answer)),
          () => undefined,
        );
      await expect.poll(() => ends.length, { timeout: 15_000 }).toBe(68);
      return new Set(ends).has(`status ${Code.ResourceExhausted}`) && new Set(ends).size === 1
        ? `32 watch, ${ends.length} are refused`
        : ends.join();
    },
  },
  {
    row: "A39",
    what: "100 watches that are never read",
    gets: "nothing came through",
    run: async () => {
      const window0 = Buffer.concat([Buffer.of(0, 4), uint32(0)]);
      const raws = await Promise.all(Array.from({ length: 10 }, () => RawHttp2.open(server.workerUrl, window0)));
      onTestFinished(() => raws.forEach((raw) => raw.close()));
      for (const raw of raws) {
        raw.isAlive = true;
        raw.send(
          times(10, (i) =>
            Buffer.concat([call(2 * i + 1, watchPath), http2Frame(frameType.data, endStream, 2 * i + 1, subscribe(8))]),
          ),
        );
      }
      await expect.poll(() => metric("signalbox_watches"), { timeout: 15_000 }).toBeGreaterThanOrEqual(100);
      return raws.every(({ dataBytes }) => dataBytes === 0) ? "nothing came through" : "something came through";
    },
  },
  // More than there may be in all on the one, and more than may be silent on the other.
  ...(
    [
      ["operatorUrl", 300],
      ["workerUrl", 550],
    ] as const
  ).map(([port, count]) => ({
    row: "A40",
    what: `${2 * count} connections to the ${port} that say nothing, or half of something`,
    gets: "others are served",
    run: async () => {
      await silent(server[port], count, "");
      await silent(server[port], count, port === "operatorUrl" ? "POST / HTTP/1.1\r\nhost: " : "PRI * HT");
      const answer = port === "operatorUrl" ? overWeb : overGrpc;
      // Whoever comes while thousands come may be dropped, and comes again.
      await expect
        .poll(() => answer(typesPath, frame(new Uint8Array())).catch(() => "dropped"), { timeout: 15_000 })
        .toBe("status 0");
      return "others are served";
    },
  })),
  {
    row: "A41",
    what: "calls that are reset as soon as they are begun",
    gets: "closed",
    run: () =>
      flood(new Uint8Array(), (round) =>
        times(100, (i) => {
          const stream = 2 * (round * 100 + i) + 1;
          return Buffer.concat([call(stream), http2Frame(frameType.rstStream, 0, stream, uint32(8))]);
        }),
      ),
  },
  {
    row: "A41",
    what: "calls without number that never end",
    gets: "closed",
    run: () => flood(new Uint8Array(), (round) => times(100, (i) => call(2 * (round * 100 + i) + 1, connectPath))),
  },
  {
    row: "A41",
    what: "calls without a token, without number",
    gets: "closed",
    run: () =>
      flood(new Uint8Array(), (round) =>
        times(100, (i) =>
          http2Frame(frameType.headers, endHeaders | endStream, 2 * (round * 100 + i) + 1, grpcHeaders(listPath, "x")),
        ),
      ),
  },
  {
    row: "A41",
    what: "headers that go on and on",
    gets: "closed",
    run: () =>
      flood(http2Frame(frameType.headers, 0, 1, grpcHeaders(listPath, "x")), () =>
        times(100, () => http2Frame(frameType.continuation, 0, 1, headerBlock({ "x-more": "x" }))),
      ),
  },
  {
    row: "A41",
    what: "headers of 10 MB",
    gets: "closed",
    run: () =>
      flood(http2Frame(frameType.headers, 0, 1, grpcHeaders(listPath, "x")), () =>
        http2Frame(frameType.continuation, 0, 1, headerBlock({ "x-more": "x".repeat(10_000) })),
      ),
  },
  {
    row: "A41",
    what: "settings without end",
    gets: "closed",
    run: () => flood(new Uint8Array(), () => times(500, () => http2Frame(frameType.settings, 0, 0))),
  },
  {
    row: "A41",
    what: "pings without end",
    gets: "closed",
    run: () => flood(new Uint8Array(), () => times(500, () => http2Frame(frameType.ping, 0, 0, Buffer.alloc(8)))),
  },
  {
    row: "A41",
    what: "pieces of nothing without end",
    gets: "closed",
    run: () => flood(call(1, connectPath), () => times(500, () => http2Frame(frameType.data, 0, 1))),
  },
  {
    row: "A41",
    what: "pieces of nothing in the packet that begins connection and call",
    gets: "closed",
    async run() {
      const { hostname, port } = new URL(server.workerUrl);
      const all = Buffer.concat([preface(), call(1, connectPath), times(3000, () => http2Frame(frameType.data, 0, 1))]);
      const sockets = Array.from({ length: 30 }, () => connect(Number(port), hostname));
      for (const socket of sockets) socket.on("error", () => undefined).on("connect", () => socket.write(all));
      await Promise.all(sockets.map((socket) => once(socket.resume(), "close")));
      return "closed";
    },
  },
  {
    row: "A42",
    what: "a ping every few milliseconds is answered: it costs next to nothing",
    gets: "50 answers",
    run: async () => {
      const raw = await RawHttp2.open(server.workerUrl);
      onTestFinished(() => raw.close());
      for (let i = 0; i < 50; i++) {
        raw.send(http2Frame(frameType.ping, 0, 0, Buffer.alloc(8)));
        await expect.poll(() => raw.pongs, { interval: 5 }).toBe(i + 1);
      }
      return `${raw.pongs} answers`;
    },
  },
  {
    row: "A49",
    what: "a hello of 10,000 labels, and of one of a megabyte",
    gets: `status ${Code.InvalidArgument},status ${Code.InvalidArgument}`,
    run: async () =>
      [
        await hello({ labels: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`l${i}`, "x"])) }),
        await hello({ labels: { big: "x".repeat(mebibyte - 500) } }),
      ].join(),
  },
  {
    row: "A52",
    what: "300 connections of a worker with a wrong token, one after the other",
    gets: statuses(1, Code.Unauthenticated),
    run: async () => {
      const seen = new Set<string>();
      for (let i = 0; i < 300; i += 20)
        for (const answer of await Promise.all(
          Array.from({ length: 20 }, async () => {
            const own = connectHttp2(server.workerUrl).on("error", () => undefined);
            const end = said(await callGrpc(own, connectPath, { headers: { authorization: "Bearer x" } }));
            own.destroy();
            return end;
          }),
        ))
          seen.add(answer);
      return [...seen].join();
    },
  },
  {
    row: "A53",
    what: "names that mean something to JavaScript, as parameters and labels",
    gets: /^http (200|400),http (200|400)$/,
    run: async () => {
      const start = (requestId: string, more: string) =>
        asJson(startPath, `{"requestId":"${requestId}","type":"canary","workerId":"canary",${more}}`);
      return [
        await start("proto-1", '"parameters":{"__proto__":{"polluted":true},"constructor":{"prototype":1}}'),
        await start("proto-2", '"labels":{"__proto__":"x","constructor":"y","toString":"z"}'),
      ].join();
    },
  },
  {
    row: "A53",
    what: "a schema with a number that JSON does not have: whoever asks for job types in JSON is answered",
    gets: `status ${Code.InvalidArgument},http 200`,
    run: async () => {
      const schema = { type: "object", properties: { a: { default: NaN } } };
      const answer = await hello({ jobTypes: [{ name: "abuse", parametersSchema: schema }] });
      return [answer, await asJson(typesPath, "{}")].join();
    },
  },
  ...[
    '{"pageSize":1e400}',
    '{"pageSize":"9999999999999999999"}',
    '{"pageSize":-1}',
    '{"pageSize":{}}',
    "[]",
    "nul",
    '{"a',
  ].map((body) => ({ row: "A53", what: `the JSON ${body}`, gets: "http 400", run: () => asJson(listPath, body) })),
];

/** Rows that other tests hold: their files, and the begin of their names. */
const elsewhere: Readonly<Record<string, readonly (readonly [file: string, name: string])[]>> = {
  A1: [
    ["http/wire.test.ts", "unary, a message of one byte more"],
    ["http/wire.test.ts", "unary, a message that claims 4 GiB"],
    ["http/bounds.test.ts", "a message that %s is cut"],
  ],
  A2: [
    ["http/worker-listener.test.ts", "a message over the limit, and a gzip bomb"],
    ["http/wire.test.ts", "compression: unknown"],
  ],
  A4: [["http/wire.test.ts", "a message that is no protobuf"]],
  A7: [["http/log-download.test.ts", "a log comes as a file, byte for byte"]],
  A8: [["../../../packages/worker/src/line-splitter.test.ts", "gives back exactly the bytes it was given"]],
  A12: [["../../../packages/cli/src/sanitise.test.ts", "never holds a control but tab"]],
  A14: [["logs/log-header.test.ts", "has order times on the server's clock that never fall"]],
  A15: [["logs/attempt-log.test.ts", "refuses lines beyond the next one"]],
  A18: [["workers/workers.test.ts", "of two processes that take a name at the same moment"]],
  A19: [["rpc/services.test.ts", "that reports an attempt which is not its own is told to stop it"]],
  A20: [["jobs/job-fold.test.ts", "that has ended refuses levers"]],
  A21: [
    ["rpc/services.test.ts", "has one effect however often its request id comes"],
    ["jobs/steering.test.ts", "a request id means one thing"],
  ],
  A22: [["jobs/job-fold.test.ts", "lets a command expire that was not delivered in time"]],
  A24: [["auth/session.test.ts", "a wrong token is refused even with a good cookie"]],
  A25: [["http/operator-listener.test.ts", "a token in the URL is no token"]],
  A27: [["auth/session.test.ts", "wrong codes are refused faster and faster"]],
  A28: [["http/operator-listener.test.ts", "no answer allows another site to read it"]],
  A29: [["http/operator-listener.test.ts", "an RPC by GET is refused"]],
  A30: [["http/operator-listener.test.ts", "an address in the request line does not get around the Host check"]],
  A32: [["http/operator-listener.test.ts", "every answer carries the security headers"]],
  A34: [["auth/session.test.ts", "a cookie that was changed is worthless"]],
  A38: [["live/open-watches.test.ts", "all watches together have only so many subscriptions"]],
  A39: [
    ["http/bounds.test.ts", "a client that takes nothing of what waits for it is cut"],
    ["http/operator-listener.test.ts", "a reader that stopped reading is cut"],
  ],
  A40: [
    ["http/bounds.test.ts", "%s port: of connections that have said nothing"],
    ["http/worker-listener.test.ts", "a connection that %s is cut"],
  ],
  A41: [["http/bounds.test.ts", "a connection that opens a thousand calls at once"]],
  A42: [["http/wire.test.ts", "unary, the malformed deadline"]],
  A56: [["logger.test.ts", "a value can neither fill the log nor paint the terminal"]],
};

/** Rows that concern nothing that exists yet, or that belong to the page. */
const later: Readonly<Record<string, string>> = {
  "A3 A44": "there are no uploads",
  "A10 A11": "the page's own tests and those of its browser: text nodes, CSP",
  "A23 A26": "there is one operator: no roles, no revocation",
  A33: "login has no `next`",
  A35: "there is no search; patterns in a schema run on RE2",
  "A45 A46 A47 A48": "there are no records, no chat, no notes, no presence",
  A50: "redaction is the worker's: packages/worker/src/redaction",
  A51: "a measure: packages/bench/src/canary.ts",
  A54: "the audit has no chain of hashes",
  A55: "the server calls nobody",
};

test("every row of the catalogue is tried here, stands in another test, or has a reason why not", () => {
  const here = new Set([...abuses.map(({ row }) => row), "A43"]);
  const not = new Set(Object.keys(later).flatMap((rows) => rows.split(" ")));
  const missing = Array.from({ length: 56 }, (_, i) => `A${i + 1}`).filter(
    (row) => !here.has(row) && !(row in elsewhere) && !not.has(row),
  );
  expect(missing).toEqual([]);
  const gone = Object.values(elsewhere)
    .flat()
    .filter(([file, name]) => !readFileSync(fileURLToPath(new URL(file, import.meta.url)), "utf8").includes(name));
  expect(gone).toEqual([]);
});

async function metric(name: string): Promise<number> {
  const { body } = await ask(server.operatorUrl, "/metrics", { headers: auth() });
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(body)?.[1]);
}

describe("an abuse gets its answer, and the canary does not notice:", () => {
  test.each(abuses)("$row $what", { timeout: 60_000, retry: 0 }, async ({ run, gets }) => {
    const outcome = await run();
    if (typeof gets === "string") expect(outcome).toBe(gets);
    else expect(outcome).toMatch(gets);
    await canary.sings();
  });
});

describe("after all that", () => {
  test("A43: a stream with a byte now and then was cut after some ten seconds", { timeout: 30_000 }, async () => {
    expect(await dripping).toBeLessThan(25);
  });

  test("no line of the canary is lost, doubled, out of order or another one", { timeout: 30_000 }, async () => {
    await canary.finish(server);
  });

  test("the log of the server has a line for what happened, each of bounded length, and no stack", () => {
    const said = server
      .log()
      .split("\n")
      .filter((line) => line.startsWith("{"));
    for (const line of said) {
      expect(line.length).toBeLessThan(4_000);
      expect(line).not.toMatch(/"stack"|"level":"(error|fatal)"/);
      expect(line).not.toContain(server.token);
    }
    expect(said.some((line) => line.includes('"what":"silent connection"'))).toBe(true);
    expect(said.length).toBeLessThan(1_000);
  });

  test("its metrics name no worker, job or address, and its memory has come back", async () => {
    const { body } = await ask(server.operatorUrl, "/metrics", { headers: auth() });
    expect(body).not.toMatch(/canary|abuser|127\.0\.0\.1/);
    expect(body).toContain('signalbox_cuts_total{listener="worker",what="stalled message"}');
    // What V8 has taken it gives back late: the bound is for what would grow.
    if (quietBytes > 0) await expect.poll(() => server.memory() - quietBytes).toBeLessThan(400 * mebibyte);
  });
});
