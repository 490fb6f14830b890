import { Code } from "@connectrpc/connect";
import {
  ChunkLines,
  EndOutcome,
  JobState,
  ReceiptState,
  RunMode,
  type StartJobAndWatchResponse,
  type WatchJobsResponse,
} from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { failure, TestRoom } from "../testing/open-test-room.ts";

// Each opens a store, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

describe("StartJobAndWatch", () => {
  test("starts a job and tells its records, lines and progress; last its record in an end state", async () => {
    const worker = await room.connect();
    const seen: StartJobAndWatchResponse["event"][] = [];
    const watching = (async () => {
      const request = { job: { requestId: "one", type: "count" }, withLog: true };
      for await (const { event } of room.domain.jobs.startJobAndWatch(request)) seen.push(event);
    })();
    const spec = await worker.heard("spec");
    worker.report(spec);
    const push = worker.push(spec.jobId, 1);
    push.lines(["one", "two"]);
    await push.acknowledged(3);
    worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 3n, atUs: 1n } });
    await watching;
    expect([seen[0]?.case, seen.at(-1)?.case]).toEqual(["job", "job"]);
    const states = seen.flatMap((event) => (event.case === "job" ? [event.value.state] : []));
    expect([...new Set(states)]).toEqual([JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]);
    expect(states.filter((state) => state === JobState.SUCCEEDED)).toHaveLength(1);
    const text = seen
      .flatMap((event) => (event.case === "log" ? event.value.entries : []))
      .flatMap(({ entry }) => (entry.case === "chunk" ? [Buffer.from(new ChunkLines(entry.value).blob())] : []));
    expect(Buffer.concat(text).toString()).toBe("one\ntwo\n");

    // The same request finds the job, although it has ended.
    const again: StartJobAndWatchResponse["event"][] = [];
    const request = { job: { requestId: "one", type: "count" } };
    for await (const { event } of room.domain.jobs.startJobAndWatch(request)) again.push(event);
    expect(again).toMatchObject([{ case: "job", value: { id: spec.jobId, state: JobState.SUCCEEDED } }]);
  });

  test("leaves the job alone when it is closed", async () => {
    const worker = await room.connect();
    const abort = new AbortController();
    const stream = room.domain.jobs.startJobAndWatch({ job: { requestId: "one", type: "count" } }, abort);
    const first = await stream[Symbol.asyncIterator]().next();
    abort.abort();
    const { jobId } = await worker.heard("spec");
    expect(first.value).toMatchObject({ event: { case: "job", value: { id: jobId } } });
    const run = (await room.get(jobId)).spec?.levers.find(({ value }) => value?.value.case === "run");
    expect(run?.value?.value.value).toMatchObject({ mode: RunMode.RUN });
  });

  test("refuses what StartJob refuses, and a request without a job", async () => {
    const call = async (request: Parameters<typeof room.domain.jobs.startJobAndWatch>[0]) => {
      for await (const _ of room.domain.jobs.startJobAndWatch(request));
    };
    expect((await failure(call({ job: { requestId: "x", type: "none" } })))[0]).toBe(Code.InvalidArgument);
    expect((await failure(call({})))[0]).toBe(Code.InvalidArgument);
  });
});

describe("WatchJobs", () => {
  /** Reads until `enough` says so. */
  async function read(cursor: Uint8Array, enough: (seen: readonly WatchJobsResponse[]) => boolean) {
    const abort = new AbortController();
    const seen: WatchJobsResponse[] = [];
    try {
      for await (const response of room.domain.jobs.watchJobs({ cursor }, abort)) {
        seen.push(response);
        if (enough(seen)) break;
      }
    } finally {
      abort.abort();
    }
    return seen;
  }
  const ids = (seen: readonly WatchJobsResponse[]) =>
    seen.flatMap(({ message }) => (message.case === "records" ? message.value.records.map(({ id }) => id) : []));

  test("tells all jobs, that history is over, then what changes; and goes on from its cursor", async () => {
    await room.connect({ slots: 1 });
    const first = await room.start();
    const isOver = (seen: readonly WatchJobsResponse[]) => seen.some(({ message }) => message.case === "caughtUp");
    const history = await read(new Uint8Array(), (seen) => isOver(seen) && ids(seen).includes(first.id));
    const cursor = Uint8Array.from(history.findLast((each) => each.cursor.length > 0)?.cursor ?? []);
    const second = await room.start();
    const later = await read(cursor, (seen) => ids(seen).includes(second.id));
    expect(later.some(({ message }) => message.case === "reset")).toBe(false);
    expect((await failure(read(Buffer.from("no cursor"), () => false)))[0]).toBe(Code.InvalidArgument);
  });
});

describe("CancelJob", () => {
  test("asks a job to end within its grace, ten seconds if none is given, and has one effect for each request id", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    const { jobs } = room.domain;
    const runOf = async () => (await room.get(jobId)).spec?.levers.find(({ value }) => value?.value.case === "run");
    const { job } = await jobs.cancelJob({ jobId, requestId: "c", reason: "enough" });
    expect(job?.receipts.at(-1)).toMatchObject({ requestId: "c", state: ReceiptState.ACCEPTED });
    expect((await runOf())?.value?.value.value).toMatchObject({
      ...{ mode: RunMode.CANCEL, graceMs: 10_000, reason: "enough" },
    });
    const before = (await room.get(jobId)).spec?.generation;
    await jobs.cancelJob({ jobId, requestId: "c", reason: "enough" });
    expect((await room.get(jobId)).spec?.generation).toBe(before);
    await jobs.cancelJob({ jobId, graceMs: 500 });
    expect((await runOf())?.value?.value.value).toMatchObject({ graceMs: 500 });
    expect((await failure(jobs.cancelJob({ jobId: "j-none" })))[0]).toBe(Code.NotFound);
    const spec = await worker.heard("spec", (each) => each.jobId === jobId);
    worker.report(spec, { end: { outcome: EndOutcome.CANCELED, endLine: 1n, atUs: 1n } });
    await room.state(jobId, JobState.CANCELED);
    expect((await failure(jobs.cancelJob({ jobId })))[0]).toBe(Code.FailedPrecondition);
  });
});
