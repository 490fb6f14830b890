import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ChunkLines,
  CommandSchema,
  EndOutcome,
  GapCause,
  JobState,
  Level,
  LeverOutcome,
  RunMode,
} from "@signalbox/protocol";
import { ServerForTests, type LeverInit } from "@signalbox/worker/server-for-tests";
import type { Program } from "../scripts/programs.ts";
import { expect, test as base, type Signalbox } from "./fixtures.ts";
import { PythonStubs, whyNoPython } from "./python-worker.ts";

// What docs/protocol.md says is enough to write a worker: this one is written from that page alone.

const root = fileURLToPath(new URL("..", import.meta.url));

type Setting = MessageInitShape<typeof CommandSchema>;

const test = base.extend<{ worker: (id?: string) => Promise<Program> }, { stubs: PythonStubs }>({
  stubs: [
    async ({ browserName: _ }, use) => {
      const stubs = new PythonStubs();
      await use(stubs);
      stubs.remove();
    },
    { scope: "worker" },
  ],
  worker: async ({ signalbox, stubs }, use) => {
    const workers: Program[] = [];
    await use(async (id = "python") => {
      const worker = stubs.run("worker.py", {
        SIGNALBOX_URL: signalbox.workerUrl,
        SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
        SIGNALBOX_WORKER_ID: id,
      });
      workers.push(worker);
      await worker.printed(/started/);
      return worker;
    });
    for (const worker of workers) await worker.kill("SIGKILL");
  },
});

const missing = whyNoPython();
test.skip(missing !== undefined, missing);

/** Sends a command and waits until its worker reported it as applied. Returns the line at which it was. */
async function apply(signalbox: Signalbox, jobId: string, command: Setting): Promise<number> {
  const { generation } = await signalbox.jobs.sendCommand({
    requestId: randomUUID(),
    jobId,
    command: create(CommandSchema, command),
  });
  let atLine = 0n;
  await expect
    .poll(async () => {
      const { record } = await signalbox.job(jobId);
      const report = record.attempts.at(-1)?.levers.findLast((each) => each.generation >= generation);
      atLine = report?.atLine ?? 0n;
      return report?.outcome === LeverOutcome.APPLIED || report?.outcome === LeverOutcome.REVERTED;
    })
    .toBe(true);
  return Number(atLine);
}

const set = (value: LeverInit): { action: { case: "set"; value: { value: LeverInit } } } => ({
  action: { case: "set", value: { value } },
});
const run = (mode: RunMode, graceMs = 5000) => set({ case: "run", value: { mode, graceMs } });
const speed = (itemsPerSecond: number) => set({ case: "speed", value: { itemsPerSecond } });
const level = (value: Level) => set({ case: "logLevel", value: { level: value } });

/** The lines of a job that counted, and the numbers in those that tell one. */
async function counted(signalbox: Signalbox, jobId: string, attempt = 1) {
  const lines = (await signalbox.text(jobId, attempt)).toString().split("\n").slice(0, -1);
  const numbers = lines.flatMap((line) => (/^(?:number|item) (\d+)$/.exec(line) ?? []).slice(1).map(Number));
  return { lines, numbers };
}

/** 1 to `last`, or from another number. */
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

test("what a worker in Python prints is stored byte by byte, with its pieces and sources", async ({
  signalbox,
  worker,
}) => {
  await worker();
  const writes = [
    { bytes: Buffer.from("INFO plain\r\n") },
    { bytes: Buffer.from([0xff, 0xfe, 0x00, 0x0a]) },
    { bytes: Buffer.from("10%"), then_wait_ms: 400 },
    { bytes: Buffer.from("\r100%\n") },
    { bytes: Buffer.from("a warning\n"), source: "stderr" },
    { bytes: Buffer.from("é€😀"), times: 30_000 },
    { bytes: Buffer.from("\n"), times: 20_000 },
    { bytes: Buffer.from("no newline at the end") },
  ];
  const id = await signalbox.startJob("py-bytes", {
    writes: writes.map((write) => ({ ...write, bytes: write.bytes.toString("base64") })),
  });
  await signalbox.state(id, JobState.SUCCEEDED);
  expect(
    (await signalbox.text(id)).equals(
      Buffer.concat(writes.flatMap(({ bytes, times = 1 }) => Array<Buffer>(times).fill(bytes))),
    ),
  ).toBe(true);

  const { entries } = await signalbox.logs.readLogs({ jobId: id, lineCount: 4n });
  const pieces = entries.flatMap(({ entry }) => {
    if (entry.case !== "chunk") return [];
    const lines = new ChunkLines(entry.value);
    return upTo(lines.nextLine - lines.firstLine, 1).map((_, i) => ({
      text: Buffer.from(lines.bytes(i)).toString("latin1"),
      continues: lines.continues(i),
    }));
  });
  expect(pieces.slice(0, 4)).toEqual([
    { text: "INFO plain\r\n", continues: false },
    { text: "\xff\xfe\0\n", continues: false },
    { text: "10%", continues: false },
    { text: "\r100%\n", continues: true },
  ]);
});

test("a worker in Python obeys speed, pause, log level, parameters and cancel, and reports where each took effect", async ({
  signalbox,
  worker,
}) => {
  await worker();
  const id = await signalbox.startJob("py-count");
  await signalbox.state(id, JobState.RUNNING);

  await apply(signalbox, id, speed(40));
  await expect
    .poll(async () => Math.abs(((await signalbox.job(id)).vitals?.itemsPerSecond ?? 0) - 40), { timeout: 30_000 })
    .toBeLessThan(4);

  const pausedAt = await apply(signalbox, id, run(RunMode.PAUSE));
  expect((await signalbox.job(id)).record.state).toBe(JobState.PAUSED);
  // A paused job obeys its other levers, and prints nothing meanwhile.
  expect(await apply(signalbox, id, speed(200))).toBe(pausedAt);
  expect(await apply(signalbox, id, level(Level.INFO))).toBe(pausedAt);
  await expect.poll(async () => (await signalbox.job(id)).vitals?.itemsPerSecond).toBe(0);
  expect(await apply(signalbox, id, run(RunMode.RUN))).toBe(pausedAt);
  expect((await signalbox.job(id)).record.state).toBe(JobState.RUNNING);

  await apply(signalbox, id, set({ case: "parameters", value: { parameters: { word: "item" } } }));
  const debugAt = await apply(signalbox, id, {
    ...level(Level.DEBUG),
    hold: { durationMs: 500n, then: level(Level.WARN).action.value },
  });
  await expect
    .poll(async () => {
      const { spec } = (await signalbox.job(id)).record;
      const setting = spec?.levers.find(({ value }) => value?.value.case === "logLevel");
      return setting?.value?.value.value;
    })
    .toMatchObject({ level: Level.WARN });

  await apply(signalbox, id, run(RunMode.CANCEL));
  const record = await signalbox.state(id, JobState.CANCELED);
  const { lines, numbers } = await counted(signalbox, id);
  expect(numbers).toEqual(upTo(numbers.length));
  expect(record.attempts[0]?.end?.endLine).toBe(BigInt(lines.length + 1));
  const itemsFrom = lines.findIndex((line) => line.startsWith("item"));
  expect(itemsFrom).toBeGreaterThanOrEqual(pausedAt - 1);
  expect(lines.slice(itemsFrom).some((line) => line.startsWith("number"))).toBe(false);
  // INFO hid DEBUG from the pause on, DEBUG showed it, and WARN hid everything.
  const tens = lines.flatMap((line, i) => (line.startsWith("ten") ? [i + 1] : []));
  expect(tens.filter((line) => line > pausedAt && line < debugAt)).toEqual([]);
  expect(tens.filter((line) => line >= debugAt).length).toBeGreaterThan(0);
  expect((await signalbox.job(id)).vitals?.itemsDone).toBeGreaterThanOrEqual(numbers.length);
});

test("a job in Python that does not end is given up when the grace of the cancel is over", async ({
  signalbox,
  worker,
}) => {
  await worker();
  const id = await signalbox.startJob("py-stubborn");
  await signalbox.state(id, JobState.RUNNING);
  await expect.poll(async () => (await signalbox.text(id)).toString()).toBe("cannot be stopped\n");
  await apply(signalbox, id, run(RunMode.CANCEL, 300));
  const { attempts } = await signalbox.state(id, JobState.CANCELED);
  expect(attempts[0]?.end?.reason).toBe("it did not end within its grace");
});

test("a server that is killed loses and doubles no line of a worker in Python, and finds its job running", async ({
  signalbox,
  worker,
}) => {
  await worker();
  const id = await signalbox.startJob("py-count");
  await apply(signalbox, id, speed(500));
  for (let round = 0; round < 2; round++) {
    const before = Number((await signalbox.job(id)).vitals?.lines ?? 0n);
    await expect.poll(async () => Number((await signalbox.job(id)).vitals?.lines ?? 0n)).toBeGreaterThan(before + 300);
    await signalbox.server.kill("SIGKILL");
    await signalbox.start();
  }
  const before = Number((await signalbox.job(id)).vitals?.lines ?? 0n);
  await expect
    .poll(async () => Number((await signalbox.job(id)).vitals?.lines ?? 0n), { timeout: 30_000 })
    .toBeGreaterThan(before + 300);
  await apply(signalbox, id, run(RunMode.CANCEL));
  const { attempts } = await signalbox.state(id, JobState.CANCELED);
  expect(attempts.map(({ number, lostAtUs }) => [number, lostAtUs])).toEqual([[1, 0n]]);
  const { numbers } = await counted(signalbox, id);
  expect(numbers.length).toBeGreaterThan(900);
  expect(numbers).toEqual(upTo(numbers.length));
});

test("a worker in Python that is told to stop gives its job back, and the next one goes on where it was", async ({
  signalbox,
  worker,
}) => {
  const first = await worker("first");
  const id = await signalbox.startJob("py-count", { to: 1000 });
  await expect.poll(async () => Number((await signalbox.job(id)).vitals?.lines ?? 0n)).toBeGreaterThan(50);
  await first.kill("SIGTERM");
  expect(first.process.exitCode).toBe(0);
  await worker("second");
  await apply(signalbox, id, speed(10_000));
  const { attempts } = await signalbox.state(id, JobState.SUCCEEDED);
  expect(attempts.map(({ end }) => end?.outcome)).toEqual([EndOutcome.RELEASED, EndOutcome.SUCCEEDED]);
  const [before, after] = [await counted(signalbox, id, 1), await counted(signalbox, id, 2)];
  expect([...before.numbers, ...after.numbers]).toEqual(upTo(1000));
});

test("what is sent into a job in Python reaches it in order, and its end too", async ({ signalbox, worker }) => {
  await worker();
  const id = await signalbox.startJob("py-echo");
  await signalbox.state(id, JobState.RUNNING);
  await expect.poll(async () => (await signalbox.text(id)).toString()).toBe("say something: ");
  await signalbox.jobs.sendInput({ jobId: id, offset: 0n, data: Buffer.from("one ") });
  await expect.poll(async () => Number((await signalbox.job(id)).vitals?.inputTaken ?? 0n)).toBe(4);
  await signalbox.server.kill("SIGKILL");
  await signalbox.start();
  await expect
    .poll(async () => {
      const sent = signalbox.jobs.sendInput({ jobId: id, offset: 4n, data: Buffer.from("two\n"), eof: true });
      return (await sent.catch(() => undefined))?.nextOffset;
    })
    .toBe(8n);
  await signalbox.state(id, JobState.SUCCEEDED);
  expect((await signalbox.text(id)).toString()).toBe("say something: one two\nthat was all\n");
});

test("a client that has no .proto files asks for the services and calls one, and a probe needs no token", async ({
  signalbox,
  worker,
  stubs,
}) => {
  await worker();
  stubs.generate(join(root, "node_modules/grpc-health-check/proto"), ["health/v1/health.proto"]);
  // Without the folder grpc, which is gRPC's own name in Python.
  stubs.generate(join(root, "node_modules/@grpc/reflection/build/proto/grpc"), ["reflection/v1alpha/reflection.proto"]);
  const client = stubs.run("services.py", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
  });
  const [printed] = await client.printed(/^\{.*\}$/m);
  expect(JSON.parse(printed)).toEqual({
    health: "SERVING",
    withoutToken: "UNAUTHENTICATED",
    services: expect.arrayContaining([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "signalbox.v1.JobService",
      "signalbox.v1.LiveService",
      "signalbox.v1.LogService",
      "signalbox.v1.WorkerService",
    ]) as unknown,
    types: ["py-bytes", "py-count", "py-echo", "py-stubborn"],
  });
});

test.describe("beside a server that misbehaves, a worker in Python", () => {
  const misbehaving = test.extend<{ server: ServerForTests }>({
    server: async ({ stubs }, use) => {
      const server = new ServerForTests();
      await server.start();
      const token = join(stubs.folder, "token");
      await writeFile(token, server.token);
      const worker = stubs.run("worker.py", {
        SIGNALBOX_URL: server.url,
        SIGNALBOX_TOKEN_FILE: token,
        SIGNALBOX_WORKER_ID: "python",
      });
      try {
        await server.until(() => server.isConnected, "the worker is connected", 30_000);
        await use(server);
      } finally {
        await worker.kill("SIGKILL");
        await server.stop();
      }
      expect(server.violations).toEqual([]);
    },
  });
  const aMegabyte = { writes: [{ bytes: Buffer.from(`${"x".repeat(99)}\n`).toString("base64"), times: 10_000 }] };

  misbehaving("sends no more than its credit before it is acknowledged", async ({ server }) => {
    server.behaviour.autoAck = false;
    const attempt = server.assign("credit", "py-bytes", { parameters: aMegabyte });
    const most = 256 * 1024;
    await server.until(() => attempt.bytes.length > most / 2, "the credit is used up");
    // The job has printed everything when it reports so, and what may be sent has come when nothing comes any more.
    const generation = server.set(attempt, { case: "speed", value: { itemsPerSecond: 1 } });
    const reported = () => attempt.report?.levers.find((each) => each.generation === generation);
    await server.until(() => reported()?.atLine === 10_001n, "everything is printed");
    for (let before = -1; before !== attempt.bytes.length;) {
      before = attempt.bytes.length;
      for (let i = 0; i < 20; i++) await server.roundTrip();
    }
    expect(attempt.bytes.length).toBeLessThanOrEqual(most);
    server.behaviour.autoAck = true;
    server.acknowledge();
    await server.until(() => attempt.endAccepted, "the attempt has ended");
    expect(attempt.bytes.length).toBe(1_000_000);
  });

  misbehaving("sends the same bytes again after the connection broke before they were stored", async ({ server }) => {
    server.behaviour.autoCommit = false;
    const attempt = server.assign("again", "py-bytes", { parameters: aMegabyte });
    await server.until(() => server.heartbeats.length > 0, "the worker answers");
    for (let i = 0; i < 3; i++) {
      server.commit(1);
      server.drop();
      await server.until(() => server.isConnected, "the worker is back");
    }
    server.behaviour.autoCommit = true;
    server.drop();
    await server.until(() => attempt.endAccepted, "the attempt has ended", 20_000);
    expect([attempt.bytes.length, attempt.gaps.length]).toEqual([1_000_000, 0]);
  });

  misbehaving("gives up only the chunk that is refused twice", async ({ server }) => {
    server.behaviour.refuse = ({ firstLine }) => (firstLine === 1n ? "for a test" : undefined);
    const attempt = server.assign("refused", "py-bytes", { parameters: aMegabyte });
    await server.until(() => attempt.endAccepted, "the attempt has ended", 20_000);
    expect(attempt.gaps.map(({ firstLine, cause }) => [firstLine, cause])).toEqual([[1n, GapCause.REFUSED]]);
    const missing = Number(attempt.gaps[0]?.lineCount);
    expect(attempt.bytes.length).toBe(1_000_000 - missing * 100);
  });

  misbehaving("declares what it has no more when the store was set back", async ({ server }) => {
    const [write] = aMegabyte.writes;
    const attempt = server.assign("set-back", "py-bytes", {
      parameters: { writes: [{ ...write, then_wait_ms: 60_000 }] },
    });
    await server.until(() => attempt.nextLine === 10_001, "all lines are stored");
    await server.stop();
    attempt.stored.length = 0;
    attempt.nextLine = 1;
    await server.start();
    await server.until(() => attempt.nextLine === 10_001, "what is left is stored again", 20_000);
    const [gap] = attempt.gaps;
    expect([gap?.firstLine, gap?.cause, attempt.gaps.length]).toEqual([1n, GapCause.STORE_ROLLBACK, 1]);
    // What is still there is what may have been on its way: the rest must have been acknowledged.
    expect(attempt.bytes.length).toBeLessThanOrEqual(256 * 1024);
  });

  misbehaving("stops an attempt that is not its own any more, and sends no more of it", async ({ server }) => {
    const line = (text: string) => Buffer.from(`${text}\n`).toString("base64");
    const parameters = { writes: [{ bytes: line("one"), then_wait_ms: 500 }, { bytes: line("two") }] };
    const fenced = server.assign("fenced", "py-bytes", { parameters });
    await server.until(() => fenced.text === "one\n", "it has printed its first line");
    server.fence(fenced);
    const after = server.assign("after", "py-bytes", { parameters });
    await server.until(() => after.endAccepted, "one that was started later has ended");
    expect([after.text, fenced.text]).toEqual(["one\ntwo\n", "one\n"]);
  });
});

/** Runs a program of e2e/python beside a server to its end. Returns what it prints, a line of JSON. */
async function saw(signalbox: Signalbox, stubs: PythonStubs, program: string): Promise<Record<string, unknown>> {
  const client = stubs.run(program, {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
  });
  const [line] = await client.printed(/^\{.*\}$/m);
  return JSON.parse(line) as Record<string, unknown>;
}

test("a console in Python starts a job, pauses and resumes it, sets its speed and the rate, sends input and cancels", async ({
  signalbox,
  worker,
  stubs,
}) => {
  await worker();
  await expect
    .poll(async () => (await signalbox.jobs.listJobTypes({})).types.map(({ type }) => type?.name))
    .toContain("py-echo");
  const found = await saw(signalbox, stubs, "console.py");
  const count = found["count"] as { id: string; state: string; lines: number; skipped: number; endLine: number };
  expect([found["paused"], count.state]).toEqual([true, "JOB_STATE_CANCELED"]);
  expect(found["refused"]).toMatch(/speed/i);
  // What came and what was left out is all that there is.
  expect(count.skipped).toBeGreaterThan(0);
  expect(count.lines + count.skipped).toBe(count.endLine - 1);
  const { lines } = await counted(signalbox, count.id);
  expect(lines).toHaveLength(count.endLine - 1);
  expect((await signalbox.job(count.id)).record.name).toBe("from python");
  expect(found["echo"]).toEqual({
    ...{ state: "JOB_STATE_SUCCEEDED", stored: 100_007, closed: true },
    text: "say something: hello<x>that was all",
  });
  await signalbox.state(String(found["owned"]), JobState.CANCELED);
});

test("the simplest client in Python follows a job to its end, and cancels it", async ({ signalbox, worker, stubs }) => {
  await worker();
  await expect
    .poll(async () => (await signalbox.jobs.listJobTypes({})).types.map(({ type }) => type?.name))
    .toContain("py-count");
  const { id, states, lines } = await saw(signalbox, stubs, "simplest.py");
  expect(states).toEqual(expect.arrayContaining(["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_CANCELED"]));
  expect(lines).toBe((await counted(signalbox, String(id))).lines.length);
});
