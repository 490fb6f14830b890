import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { JobService, LogService, WorkerHeartbeatSchema, type LogChunk } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { runProgram } from "../../../../scripts/programs.ts";
import { TestRoom } from "../testing/open-test-room.ts";
import { openTestServer } from "../testing/open-test-server.ts";

const hourUs = 3_600_000_000;
const secondUs = 1_000_000;

const chunksOf = (entries: readonly { entry: { case?: string | undefined; value?: unknown } }[]) =>
  entries.flatMap(({ entry }) => (entry.case === "chunk" ? [entry.value as LogChunk] : []));

test("no line of a new link is taken before the worker's clock was measured, so that the first chunk has its offset", async () => {
  await using room = await TestRoom.open();
  const workerUs = () => Date.now() * 1000 + hourUs;
  // The hello was on its way for ten seconds, say: what it tells of the clock is ten seconds wrong.
  const worker = await room.connect({ timeUs: workerUs() - 10 * secondUs });
  const { jobId } = await room.startRunning(worker);
  const push = worker.push(jobId, 1);
  const { serverTimeUs: echoServerTimeUs } = await worker.heard("heartbeat");
  expect(push.acks).toEqual([]);
  const echo = create(WorkerHeartbeatSchema, { echoServerTimeUs, workerTimeUs: BigInt(workerUs()) });
  worker.say({ case: "heartbeat", value: echo });
  await push.acknowledged(1);
  push.lines(["first"]);
  await push.acknowledged(2);
  const { entries } = await room.domain.logs.readLogs({ jobId, attempt: 1 });
  const offsetUs = Number(chunksOf(entries)[0]?.header?.clockOffsetUs);
  expect(Math.abs(offsetUs + hourUs)).toBeLessThan(5 * secondUs);
});

test("a worker that never answers a heartbeat can deliver all the same", async () => {
  await using room = await TestRoom.open();
  const worker = await room.connect({ timeUs: Date.now() * 1000 - hourUs });
  const { jobId } = await room.startRunning(worker);
  const push = worker.push(jobId, 1);
  push.lines(["first"]);
  await push.acknowledged(2);
  const { entries } = await room.domain.logs.readLogs({ jobId, attempt: 1 });
  expect(Math.abs(Number(chunksOf(entries)[0]?.header?.clockOffsetUs) - hourUs)).toBeLessThan(10 * secondUs);
});

test("lines of a worker process whose clock is an hour ahead have the room's time, over a link that breaks too", async () => {
  await using signalbox = await openTestServer();
  const transport = createGrpcTransport({
    baseUrl: signalbox.workerUrl,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${signalbox.token}`);
        return next(request);
      },
    ],
  });
  const jobs = createClient(JobService, transport);
  const anHourAhead = `const now = Date.now; Date.now = () => now() + ${hourUs / 1000};`;
  const worker = runProgram("e2e/programs/test-worker.ts", {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(anHourAhead)}`,
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN: signalbox.token,
    SIGNALBOX_WORKER_ID: "ahead",
    SIGNALBOX_SPOOL: "off",
  });
  try {
    await worker.printed(/started/);
    await expect.poll(async () => (await jobs.listJobTypes({})).types.map(({ type }) => type?.name)).toContain("lines");
    const startedUs = Date.now() * 1000;
    const { job } = await jobs.startJob({ requestId: "one", type: "lines", parameters: { per_second: 50 } });
    const jobId = job?.id ?? "";
    const entries = async () =>
      chunksOf((await createClient(LogService, transport).readLogs({ jobId, attempt: 1 })).entries);
    await expect.poll(async () => (await entries()).length).toBeGreaterThan(3);
    const stored = await entries();
    for (const { header } of stored) {
      expect(Math.abs(Number(header?.clockOffsetUs) + hourUs)).toBeLessThan(secondUs);
      expect(Number(header?.orderFirstUs)).toBeGreaterThan(startedUs - secondUs);
      expect(Number(header?.orderLastUs)).toBeLessThan(Date.now() * 1000 + secondUs);
    }
    const { vitals } = await jobs.listWorkers({});
    expect(Math.abs(Number(vitals[0]?.clockOffsetUs) + hourUs)).toBeLessThan(secondUs);
  } finally {
    await worker.kill("SIGKILL");
  }
});
