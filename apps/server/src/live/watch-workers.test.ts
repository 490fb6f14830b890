import { create, toBinary } from "@bufbuild/protobuf";
import {
  EndOutcome,
  HelloSchema,
  JobState,
  WorkerHeartbeatSchema,
  WorkerLeaseSchema,
  WorkerLinkState,
  type WatchResponse,
  type WorkerVitals,
} from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pause, TestRoom } from "../testing/open-test-room.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

type Seen = readonly WatchResponse[];

const subscription = (cursor = new Uint8Array()) => [
  { id: "workers", cursor, kind: { case: "workers" as const, value: {} } },
];
const has = (kind: WatchResponse["message"]["case"]) => (seen: Seen) =>
  seen.some(({ message }) => message.case === kind);
const cursorOf = (seen: Seen) => Uint8Array.from(seen.findLast(({ cursor }) => cursor.length > 0)?.cursor ?? []);
const records = (seen: Seen) =>
  seen.flatMap(({ message }) => (message.case === "workers" ? message.value.records : []));
const gone = (seen: Seen) => seen.flatMap(({ message }) => (message.case === "workers" ? message.value.gone : []));
/** What was said of a worker, oldest first. */
const vitals = (seen: Seen, workerId = "w1"): WorkerVitals[] =>
  seen.flatMap(({ message }) =>
    message.case === "workerVitals" ? message.value.vitals.filter((each) => each.workerId === workerId) : [],
  );

/** Follows the workers until the test ends, beside what it does. */
function follow(): { readonly seen: WatchResponse[]; readonly stop: () => Promise<void> } {
  const seen: WatchResponse[] = [];
  let ended = false;
  const reading = room.watch(subscription(), (all) => {
    seen.splice(0, seen.length, ...all);
    return ended;
  });
  return {
    seen,
    stop: async () => {
      ended = true;
      await reading;
    },
  };
}

describe("the records of workers", () => {
  test("all come first, then caught up, then changes; from its cursor a reader goes on", async () => {
    await room.connect({ workerId: "b", labels: { pool: "gpu" } });
    await room.connect({ workerId: "a" });
    const first = await room.watch(subscription(), has("caughtUp"));
    expect(records(first)).toMatchObject([
      { workerId: "b", labels: { pool: "gpu" }, agent: "test", jobTypes: ["count"], slots: 2 },
      { workerId: "a" },
    ]);
    await room.domain.jobs.drainWorker({ workerId: "a", reason: "why" });
    const next = await room.watch(subscription(cursorOf(first)), (seen) => records(seen).length > 0);
    expect(records(next)).toMatchObject([{ workerId: "a", drain: { reason: "why" } }]);
    expect(has("reset")(next)).toBe(false);
  });

  test("go on across a restart of the server", async () => {
    await room.connect({ workerId: "a" });
    const cursor = cursorOf(await room.watch(subscription(), has("caughtUp")));
    room.domain = await room.domain.reopen();
    await room.connect({ workerId: "b" });
    const seen = await room.watch(subscription(cursor), (all) => records(all).length > 0);
    expect(records(seen).map(({ workerId }) => workerId)).toEqual(["b"]);
    expect(has("reset")(seen)).toBe(false);
  });

  test("say which names are forgotten, also to a reader that was away", async () => {
    const worker = await room.connect({ workerId: "run-1", transient: true });
    const first = await room.watch(subscription(), has("caughtUp"));
    expect(records(first)).toMatchObject([{ workerId: "run-1", transient: true }]);
    const watching = room.watch(subscription(), (seen) => gone(seen).length > 0);
    await worker.leave();
    expect(gone(await watching)).toEqual(["run-1"]);
    expect(gone(await room.watch(subscription(cursorOf(first)), (seen) => gone(seen).length > 0))).toEqual(["run-1"]);
  });

  test("begin anew when what was forgotten is not known any more", async () => {
    await room.connect({ workerId: "a" });
    const cursor = cursorOf(await room.watch(subscription(), has("caughtUp")));
    const table = room.domain.store.table("workers");
    const worker = await room.connect({ workerId: "run-1", transient: true });
    await worker.leave();
    await expect.poll(async () => (await table.list()).records.length).toBe(1);
    await table.compact((await table.list()).revision);
    const seen = await room.watch(subscription(cursor), has("caughtUp"));
    expect([has("reset")(seen), records(seen).map(({ workerId }) => workerId)]).toEqual([true, ["a"]]);
  });
});

describe("how workers are heard", () => {
  test("is connected, silent, lost, and back, each with the time of the last sign of life", async () => {
    const worker = await room.connect();
    const { seen, stop } = follow();
    const state = () => vitals(seen).at(-1)?.link?.state;
    await expect.poll(state).toBe(WorkerLinkState.CONNECTED);
    const heardAt = vitals(seen).at(-1)?.link?.heardAtUs ?? 0n;
    expect(heardAt).not.toBe(0n);
    room.letPass(11);
    await expect.poll(state).toBe(WorkerLinkState.SILENT);
    expect(vitals(seen).at(-1)).toMatchObject({ connected: true, link: { heardAtUs: heardAt } });
    room.letPass(5);
    await expect.poll(state).toBe(WorkerLinkState.LOST);
    await expect.poll(() => vitals(seen).at(-1)?.connected).toBe(false);
    await room.connect({ incarnation: worker.incarnation });
    await expect.poll(state).toBe(WorkerLinkState.CONNECTED);
    const back = vitals(seen).at(-1);
    expect(back?.connected).toBe(true);
    expect((back?.link?.heardAtUs ?? 0n) - heardAt).toBeGreaterThan(15_000_000n);
    await stopAfterNews(stop);
  });

  test("ends with a link that is none when a worker has left", async () => {
    const worker = await room.connect();
    const { seen, stop } = follow();
    await expect.poll(() => vitals(seen).at(-1)?.connected).toBe(true);
    await worker.leave();
    await expect.poll(() => vitals(seen).at(-1)?.connected).toBe(false);
    expect(vitals(seen).at(-1)?.link).toBeUndefined();
    room.letPass(20);
    await room.connect({ workerId: "w2" });
    await expect.poll(() => vitals(seen, "w2")).toHaveLength(1);
    expect(vitals(seen).at(-1)?.link).toBeUndefined();
    const listed = await room.domain.jobs.listWorkers({});
    expect(listed.vitals.find(({ workerId }) => workerId === "w1")?.link).toBeUndefined();
    await stopAfterNews(stop);
  });

  test("says what they run, with its state, oldest first, and that it is over", async () => {
    const worker = await room.connect();
    const { seen, stop } = follow();
    const one = await room.startRunning(worker);
    const two = await room.startRunning(worker);
    const runs = () =>
      vitals(seen)
        .at(-1)
        ?.attempts.map(({ jobId, state }) => [jobId, state]);
    await expect.poll(runs).toEqual([
      [one.jobId, JobState.RUNNING],
      [two.jobId, JobState.RUNNING],
    ]);
    expect(vitals(seen).at(-1)?.attempts[0]).toMatchObject({ attempt: 1, name: "count", type: "count" });
    const { generation } = await room.set(one.jobId, pause);
    worker.report(await worker.heard("spec", ({ spec }) => spec?.generation === generation));
    await expect.poll(() => runs()?.[0]).toEqual([one.jobId, JobState.PAUSED]);
    worker.report(one, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
    await expect.poll(runs).toEqual([[two.jobId, JobState.RUNNING]]);
    await stopAfterNews(stop);
  });

  test("after a restart of the server is not heard yet, where there is an attempt to wait for", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    await room.connect({ workerId: "idle" });
    room.domain = await room.domain.reopen();
    const { vitals: listed } = await room.domain.jobs.listWorkers({});
    expect(listed).toMatchObject([
      {
        workerId: "w1",
        connected: false,
        attempts: [{ jobId }],
        link: { state: WorkerLinkState.SILENT, heardAtUs: 0n },
      },
    ]);
    room.letPass(16);
    await room.state(jobId, JobState.LOST);
    const { seen, stop } = follow();
    await expect.poll(() => vitals(seen).at(-1)?.link?.state).toBe(WorkerLinkState.LOST);
    await stopAfterNews(stop);
  });

  test("tells the newest of what is measured", async () => {
    const worker = await room.connect();
    const { seen, stop } = follow();
    await expect.poll(() => vitals(seen)).toHaveLength(1);
    for (let i = 1n; i <= 500n; i++)
      worker.say({ case: "heartbeat", value: create(WorkerHeartbeatSchema, { bufferedBytes: i }) });
    await expect.poll(() => vitals(seen).at(-1)?.link?.bufferedBytes, { timeout: 10_000 }).toBe(500n);
    await stopAfterNews(stop);
  });
});

test("a thousand workers are listed and watched, by rising name, with what little is known of them", async () => {
  const table = room.domain.store.table("workers");
  const name = (i: number) => `w-${String(i).padStart(4, "0")}`;
  const hello = (i: number) =>
    create(HelloSchema, { workerId: name(i), slots: 1, jobTypes: [{ name: `type-${i}` }, { name: "all" }] });
  await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => {
      const lease = create(WorkerLeaseSchema, { incarnation: "x", connectedAtUs: BigInt(i + 1), hello: hello(i) });
      return table.put(name(999 - i), toBinary(WorkerLeaseSchema, lease));
    }),
  );
  room.domain = await room.domain.reopen();
  const { workers, vitals: known } = await room.domain.jobs.listWorkers({});
  expect(workers.map(({ workerId }) => workerId)).toEqual(Array.from({ length: 1_000 }, (_, i) => name(i)));
  expect(workers[0]).toMatchObject({ jobTypes: ["all", "type-999"], slots: 1 });
  expect(known).toEqual([]);
  expect(records(await room.watch(subscription(), has("caughtUp")))).toHaveLength(1_000);
});

test("offered types are made once for each change, however many ask", async () => {
  const types = Array.from({ length: 200 }, (_, i) => ({ name: `type-${i}`, levers: ["run"] }));
  for (let i = 0; i < 6; i++)
    await room.connect({ workerId: `w${i}`, types: types.map(({ name }) => ({ name: `${name}.${i}` })) });
  const { workers } = room.domain.domain;
  const before = workers.offered;
  expect(before.types).toHaveLength(1_200);
  expect(workers.offered).toBe(before);
  const typesSeen = await room.watch(
    [{ id: "jobs", kind: { case: "jobs", value: { withJobTypes: true } } }],
    has("jobTypes"),
  );
  expect(workers.offered).toBe(before);
  const sent = typesSeen.flatMap(({ message }) => (message.case === "jobTypes" ? message.value.types : []));
  expect(sent).toEqual(before.types);
  await room.connect({ workerId: "w9", types: [{ name: "pinned-one", pinned: true }] });
  expect(workers.offered.types.find(({ type }) => type?.name === "pinned-one")?.type?.pinned).toBe(true);
});

/** A watch is looked at when something comes. */
async function stopAfterNews(stop: () => Promise<void>): Promise<void> {
  const stopped = stop();
  await room.connect({ workerId: `news-${room.nextId()}` });
  await stopped;
}
