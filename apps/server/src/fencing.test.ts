import { fileURLToPath } from "node:url";
import { EndOutcome, JobState, Level, type JobRecord } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runCommand } from "../../../scripts/programs.ts";
import { cancel, TestRoom } from "./testing/open-test-room.ts";
import { WorkerPort } from "./testing/worker-port.ts";

// Real worker processes over a real port, stopped and continued, against a server whose clocks a test puts forward: an attempt may be
// given up after a minute.

let room: TestRoom;
let port: WorkerPort;

beforeEach(async () => {
  room = await TestRoom.open();
  port = await WorkerPort.open(room);
});
afterEach(async () => {
  await port[Symbol.asyncDispose]();
  await room[Symbol.asyncDispose]();
});

/** Processes start, and connect again, in their own time: on a loaded machine that is long. */
const long = { timeout: 60_000 };

async function state(jobId: string, wanted: JobState): Promise<JobRecord> {
  await expect.poll(async () => (await room.get(jobId)).state, long).toBe(wanted);
  return room.get(jobId);
}

const vitals = async (jobId: string) => (await room.domain.jobs.getJob({ jobId })).vitals;
const hasLines = (jobId: string, count: bigint) =>
  expect.poll(async () => ((await vitals(jobId))?.lines ?? 0n) >= count, long).toBe(true);

/** The numbers that the 'lines' job printed, as they are stored. */
async function printed(jobId: string, attempt: number, late = false): Promise<number[]> {
  let text = "";
  const bytes = await room.domain.domain.readLog(jobId, attempt, new AbortController().signal, late);
  for await (const each of bytes ?? []) text += Buffer.from(each).toString();
  const lines = text.split("\n").slice(0, -1);
  expect(lines.filter((line) => !line.includes(`of job ${jobId}:`))).toEqual([]);
  return lines.map((line) => Number(/^INFO line (\d+) /.exec(line)?.[1]));
}

const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

/** The states that a watcher of the job is shown, each time that it changes. */
async function statesOf(jobId: string): Promise<JobState[]> {
  const seen = await room.watch([{ id: "job", kind: { case: "job", value: { jobId } } }], (all) =>
    all.some(({ message }) => message.case === "caughtUp"),
  );
  const states = seen.flatMap(({ message }) =>
    message.case === "entries" ? message.value.entries.flatMap(({ record }) => record?.state ?? []) : [],
  );
  return states.filter((state, i) => state !== states[i - 1]);
}

/** Gives the lost attempt up for another one. */
async function retry(jobId: string): Promise<JobRecord> {
  room.letPass(16);
  await state(jobId, JobState.LOST);
  room.letPass(46);
  const { job } = await room.domain.jobs.retryJob({ jobId, requestId: room.nextId() });
  if (!job) throw new Error("no job");
  return job;
}

test(
  "a worker process that stood still while its attempt was given up wakes, writes nothing into the new attempt, stops itself, and what it had is late evidence",
  { timeout: 240_000 },
  async () => {
    const stopped = await port.startWorker("w1");
    const { id } = await room.start({ per_second: 200 }, "lines");
    await hasLines(id, 100n);
    await stopped.kill("SIGSTOP");
    await retry(id);
    await port.startWorker("w2");
    await state(id, JobState.RUNNING);
    await hasLines(id, 50n);

    await stopped.kill("SIGCONT");
    await expect
      .poll(async () => (await room.get(id)).late, long)
      .toMatchObject([{ attempt: 1, end: { outcome: EndOutcome.FAILED } }]);
    const { late, attempts, state: now } = await room.get(id);
    expect(now).toBe(JobState.RUNNING);
    expect(attempts.map(({ workerId, end }) => [workerId, end?.outcome])).toEqual([
      ["w1", EndOutcome.GIVEN_UP],
      ["w2", undefined],
    ]);
    const own = await printed(id, 1);
    const after = await printed(id, 1, true);
    expect(own).toEqual(from(1, own.length));
    expect(after).toEqual(from(own.length + 1, after.length));
    expect(after.length).toBeGreaterThan(0);
    expect(late[0]?.firstLine).toBe(BigInt(own.length + 1));
    expect(late[0]?.end?.endLine).toBe(BigInt(own.length + after.length + 1));
    const again = await printed(id, 2);
    expect(again).toEqual(from(1, again.length));
    await hasLines(id, BigInt(again.length) + 50n);
    // It runs nothing any more, and takes the next job.
    const offered = async () =>
      (await room.domain.jobs.listJobTypes({})).types.find(({ type }) => type?.name === "lines");
    expect(await offered()).toMatchObject({ slotsUsed: 1 });
    expect(stopped.output()).toContain("is not ours any more");

    const signalbox = fileURLToPath(new URL("../../../signalbox", import.meta.url));
    const command = runCommand(signalbox, ["logs", id, "--late", "--raw"], port.env);
    port.programs.push(command);
    await command.printed(new RegExp(`line ${own.length + after.length} of job`));
    expect(command.output()).toMatch(new RegExp(`^INFO line ${own.length + 1} of job`));

    await room.set(id, cancel);
    await state(id, JobState.CANCELED);
    const { QUEUED, RUNNING, LOST, CANCELED } = JobState;
    expect(await statesOf(id)).toEqual([QUEUED, RUNNING, LOST, QUEUED, RUNNING, CANCELED]);
  },
);

test(
  "a worker process that stood still and was not given up goes on with the same attempt, and no line is missing",
  { timeout: 240_000 },
  async () => {
    const worker = await port.startWorker("w1");
    const { id } = await room.start({ per_second: 200 }, "lines");
    await hasLines(id, 50n);
    await worker.kill("SIGSTOP");
    room.letPass(16);
    await state(id, JobState.LOST);
    const before = (await printed(id, 1)).length;
    await worker.kill("SIGCONT");
    await state(id, JobState.RUNNING);
    await hasLines(id, BigInt(before + 100));
    const lines = await printed(id, 1);
    expect(lines).toEqual(from(1, lines.length));
    expect(await room.get(id)).toMatchObject({ late: [], attempts: [{ number: 1, lostAtUs: 0n }] });
  },
);

test(
  "a job that was lost by silence says that its worker came back as another process, and is lost since then as before",
  { timeout: 240_000 },
  async () => {
    const first = await port.startWorker("w1");
    const { id } = await room.start({ per_second: 200 }, "lines");
    await hasLines(id, 50n);
    await first.kill("SIGKILL");
    room.letPass(16);
    const silent = await state(id, JobState.LOST);
    expect(silent.reason).toBe("worker w1 has been silent for 15 s; its lease ran out");
    await port.startWorker("w1");
    await expect
      .poll(async () => (await room.get(id)).reason, long)
      .toBe("worker w1 came back as another process, which does not have this job");
    const { state: now, stateSinceUs, attempts } = await room.get(id);
    expect({ now, stateSinceUs, lostAtUs: attempts[0]?.lostAtUs }).toEqual({
      now: JobState.LOST,
      stateSinceUs: silent.stateSinceUs,
      lostAtUs: silent.attempts[0]?.lostAtUs,
    });
  },
);

test(
  "a worker process that takes the name of a dead one makes its attempt lost at once, and the next attempt has the levers that are wanted before its first item",
  { timeout: 240_000 },
  async () => {
    const first = await port.startWorker("w1");
    const { id } = await room.start({ retries: 1 }, "tunable");
    await expect.poll(async () => (await vitals(id))?.itemsDone ?? 0n, long).toBeGreaterThan(3n);
    await first.kill("SIGKILL");
    await port.startWorker("w1");
    const lost = await state(id, JobState.LOST);
    expect(lost.reason).toBe("worker restarted: another process has its name");
    await room.set(id, { case: "speed", value: { itemsPerSecond: 100 } });
    await room.set(id, { case: "logLevel", value: { level: Level.FATAL } });
    room.letPass(46);
    await room.domain.jobs.retryJob({ jobId: id, requestId: room.nextId() });
    await state(id, JobState.RUNNING);
    await expect.poll(async () => (await vitals(id))?.itemsDone ?? 0n, long).toBeGreaterThan(50n);
    // Each item has a line of a lower level: had one been done before the levers counted, its line would be there.
    expect(await room.domain.logs.readLogs({ jobId: id, attempt: 2 })).toMatchObject({ entries: [], endLine: 1n });
    const { attempts } = await room.get(id);
    expect(attempts.map(({ workerId }) => workerId)).toEqual(["w1", "w1"]);
    expect(new Set(attempts.map(({ incarnation }) => incarnation)).size).toBe(2);
  },
);
