import { Code, ConnectError } from "@connectrpc/connect";
import { EndOutcome, JobState, RunMode } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { defineJob, JobCanceled, JobReleased, type Job, type JobDefinition } from "./index.ts";
import { gate, job, leverOf, roomForTests, untilAborted } from "./room-for-tests.ts";
import type { StoredAttempt } from "./server-for-tests.ts";

const room = roomForTests();

function pinned(run: (job: Job) => ReturnType<JobDefinition["run"]>) {
  return defineJob({ type: "run", pinned: true, input: true, run });
}

/** The attempt of the job that was started, once the server has given it one. */
async function started(): Promise<StoredAttempt> {
  await room.server.until(() => room.server.firstStarted !== undefined, "the job has its attempt");
  const attempt = room.server.firstStarted;
  if (!attempt) throw new Error("unreachable");
  return attempt;
}

describe("a job that its worker starts", () => {
  test("runs at once without a server, and is delivered from line 1 with its times when there is one", async () => {
    await room.server.stop();
    const printed = gate();
    const finish = gate();
    const worker = await room.startAway(
      [
        pinned(async ({ log, parameters, progress, id, attempt }) => {
          log.info(`hello ${JSON.stringify(parameters.name)} ${id} ${attempt}`);
          progress({ done: 5, total: 10 });
          printed.open();
          await finish.opened;
          log.info("bye");
        }),
      ],
      { transient: true },
    );
    const startedAtUs = Date.now() * 1000;
    const here = worker.startHere("run", { name: "my run", labels: { a: "b" }, parameters: { name: "world" } });
    await printed.opened;
    const printedAtUs = Date.now() * 1000;
    expect(worker.running).toBe(1);
    await room.server.until(() => worker.state.kind === "backing-off", "there is no server");
    await room.server.start();
    const attempt = await started();
    expect(room.server.hellos[0]).toMatchObject({ transient: true, jobTypes: [{ name: "run", pinned: true }] });
    expect(room.server.startJobs[0]).toMatchObject({
      type: "run",
      name: "my run",
      labels: { a: "b" },
      parameters: { name: "world" },
      workerId: "worker",
    });
    expect(await here.jobId).toBe(attempt.spec.jobId);
    await room.server.until(() => attempt.text !== "", "the first line is there");
    expect(attempt.text).toBe('hello "world"  0\n');
    const [first] = attempt.stored;
    if (!first || !("baseTimeUs" in first)) throw new Error("the first entry is no chunk");
    const atUs = Number(first.baseTimeUs) + (first.timeDeltaUs[0] ?? 0);
    expect(atUs).toBeGreaterThan(startedAtUs - 50_000);
    expect(atUs).toBeLessThan(printedAtUs + 50_000);
    await room.server.until(() => attempt.vitals.at(-1)?.itemsDone === 5n, "its progress is there");
    finish.open();
    await here.settled;
    await here.ended;
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.lines).toHaveLength(2);
  });

  test("is bound when its spec comes before the answer that names it", async () => {
    room.server.behaviour.assignJobs = "before";
    const worker = await room.start([pinned(({ log }) => log.info("x"))]);
    const here = worker.startHere("run");
    await here.ended;
    expect((await started()).report?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
    expect((await started()).text).toBe("x\n");
  });

  test("obeys levers and takes input once the server knows it", async () => {
    const worker = await room.start([
      pinned(async (self) => {
        for await (const piece of self.input)
          self.log.info(`${self.id} ${self.attempt} got ${Buffer.from(piece).toString()}`);
      }),
    ]);
    const here = worker.startHere("run");
    const attempt = await started();
    room.server.send(attempt, "data");
    await room.server.until(() => attempt.text.endsWith("got data\n"), "the input is taken");
    expect(attempt.text).toBe(`${attempt.spec.jobId} 1 got data\n`);
    room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 60_000, reason: "enough" } });
    await here.ended;
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.CANCELED);
    expect(leverOf(attempt, "run")?.value?.value.value).toMatchObject({ mode: RunMode.CANCEL });
  });

  test("is asked for under the same request after each reconnect, until the server assigns it", async () => {
    room.server.behaviour.assignJobs = "never";
    const finish = gate();
    const worker = await room.start([pinned(() => finish.opened)]);
    const here = worker.startHere("run");
    const id = await here.jobId;
    for (const times of [2, 3]) {
      room.server.drop();
      await room.server.until(() => room.server.startJobs.length >= times, "it is asked for again");
    }
    expect(new Set(room.server.startJobs.map(({ requestId }) => requestId)).size).toBe(1);
    finish.open();
    await here.settled;
    room.server.assignStarted();
    await here.ended;
    expect((await started()).spec.jobId).toBe(id);
    expect((await started()).report).toMatchObject({ started: true, end: { outcome: EndOutcome.SUCCEEDED } });
  });

  test("is asked for again when the server fails, and says so once", async () => {
    let failures = 2;
    room.server.behaviour.refuseJob = () =>
      failures-- > 0 ? new ConnectError("the disk is full", Code.Unavailable) : undefined;
    const worker = await room.start([pinned(() => undefined)]);
    await worker.startHere("run", { name: "mine" }).ended;
    expect(room.server.startJobs).toHaveLength(3);
    expect(room.notices.filter((notice) => notice.includes("the disk is full"))).toHaveLength(1);
  });

  test("runs on by itself if the server refuses it, without a bound on what it prints", async () => {
    room.server.behaviour.refuseJob = () => new ConnectError("no such type", Code.InvalidArgument);
    const finish = gate();
    let aborted = true;
    const worker = await room.start(
      [
        pinned(async ({ log, signal }) => {
          await finish.opened;
          for (let i = 0; i < 5000; i++) {
            log.info("x".repeat(1000));
            await log.ready();
          }
          aborted = signal.aborted;
        }),
      ],
      { bufferBytes: 256 * 1024 },
    );
    const here = worker.startHere("run", { name: "mine" });
    await expect(here.jobId).rejects.toThrow("no such type");
    await expect(here.ended).rejects.toThrow("no such type");
    finish.open();
    await here.settled;
    expect(aborted).toBe(false);
    expect(room.notices.join()).toContain("mine is not shown in the room, and its lines are dropped: no such type");
  });

  test("is canceled if somebody canceled it before this worker had it", async () => {
    room.server.behaviour.assignJobs = "never";
    room.server.behaviour.startedJob = { state: JobState.CANCELED, endedAtUs: 1n, reason: "not today" };
    const reasons: unknown[] = [];
    const worker = await room.start([
      pinned(async ({ signal }) => {
        await untilAborted(signal).catch((reason: unknown) => reasons.push(reason));
      }),
    ]);
    const here = worker.startHere("run");
    await here.settled;
    expect(reasons).toEqual([new JobCanceled("not today", 5000)]);
    await expect(here.jobId).rejects.toThrow("its job is over already: not today");
  });

  test("that the server refused ends with the worker", async () => {
    room.server.behaviour.refuseJob = () => new ConnectError("no such type", Code.InvalidArgument);
    const reasons: unknown[] = [];
    const worker = await room.start([
      pinned(async ({ signal }) => {
        await untilAborted(signal).catch((reason: unknown) => reasons.push(reason));
      }),
    ]);
    const here = worker.startHere("run");
    await expect(here.ended).rejects.toThrow("no such type");
    expect(worker.running).toBe(1);
    await worker.stop("for a test");
    expect(reasons).toEqual([new JobReleased("for a test", 500)]);
    expect(worker.running).toBe(0);
  });

  test("runs on by itself when the server comes back with another store", async () => {
    const finish = gate();
    let aborted = true;
    const worker = await room.start(
      [
        pinned(async ({ log, signal }) => {
          log.info("before");
          await finish.opened;
          for (let i = 0; i < 1000; i++) {
            log.info("x".repeat(1000));
            await log.ready();
          }
          aborted = signal.aborted;
        }),
      ],
      { bufferBytes: 256 * 1024 },
    );
    const here = worker.startHere("run");
    const attempt = await started();
    await room.server.until(() => attempt.text === "before\n", "the first line is there");
    room.server.storeId = "another";
    room.server.attempts.clear();
    await room.server.restart();
    await expect(here.ended).rejects.toThrow("another store");
    room.server.say({ case: "fenced", value: { jobId: attempt.spec.jobId, attempt: 1, reason: "not known" } });
    await room.server.roundTrip();
    finish.open();
    await here.settled;
    expect(aborted).toBe(false);
    await worker.stop();
    expect(attempt.text).toBe("before\n");
  });

  test("is delivered before the worker leaves, although it is stopped before the server knows it", async () => {
    room.server.behaviour.assignJobs = "never";
    const worker = await room.start([
      pinned(async ({ log, signal }) => {
        await untilAborted(signal).finally(() => log.info("last words"));
      }),
    ]);
    const here = worker.startHere("run");
    await here.jobId;
    const stopping = worker.stop("for a test");
    await here.settled;
    await room.server.roundTrip();
    // A server assigns nothing to a worker that leaves.
    expect(room.server.leavings).toEqual([]);
    room.server.assignStarted();
    await stopping;
    await here.ended;
    expect((await started()).text).toBe("last words\n");
    expect((await started()).report?.end).toMatchObject({ outcome: EndOutcome.RELEASED, reason: "for a test" });
    expect(room.server.leavings).toEqual(["for a test"]);
  });

  test("is given up when the worker closes and the server never came", async () => {
    await room.server.stop();
    const worker = await room.startAway([pinned(({ log }) => log.info("x"))], { stopTimeoutMs: 200 });
    const here = worker.startHere("run");
    await here.settled;
    await worker.stop();
    await expect(here.jobId).rejects.toThrow("stopped before the server had its end");
    await expect(here.ended).rejects.toThrow("stopped before the server had its end");
    expect(() => worker.startHere("run")).toThrow("the worker stops");
  });

  test("is the only one of its type: what others start is declined", async () => {
    const worker = await room.start([pinned(() => undefined), job(() => undefined)]);
    const stranger = room.server.assign("a", "run");
    expect(await room.ended(stranger)).toBe(EndOutcome.DECLINED);
    expect(stranger.report?.end?.reason).toBe("jobs of type run are started by the worker itself");
    room.server.behaviour.assignJobs = "never";
    const here = worker.startHere("run");
    await here.jobId;
    expect(await room.ended(room.server.assign("b", "run"))).toBe(EndOutcome.DECLINED);
    room.server.assignStarted();
    await here.ended;
    expect(() => worker.startHere("test")).toThrow('this worker has no pinned job type "test"');
  });
});
