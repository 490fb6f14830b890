import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import {
  AttemptReportSchema,
  BulkOutcome,
  BulkState,
  EndOutcome,
  JobState,
  RunMode,
  WorkerHeartbeatSchema,
  type AttemptSpec,
  type BulkCount,
  type BulkRecord,
  type JobRecord,
} from "@signalbox/protocol";
import { create } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { appliedAll, type TestWorker } from "../testing/test-worker.ts";
import { TestRoom } from "../testing/open-test-room.ts";

// Scenario 14: a cancel by filter over 5,000 jobs that wait, run, stand still, have ended, or are on a lost worker.

const counts = { running: 500, paused: 300, lost: 500, waiting: 2_000, canceled: 1_500, succeeded: 200 };
const perSecond = 150;

/** Starts jobs, some at a time. */
async function startMany(room: TestRoom, type: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const some = Array.from({ length: Math.min(100, count - ids.length) }, () => room.start({}, type));
    ids.push(...(await Promise.all(some)).map(({ id }) => id));
  }
  return ids;
}

/** The specs of the first attempts that a worker has heard, once there are so many. */
async function specs(worker: TestWorker, count: number): Promise<AttemptSpec[]> {
  const heard = () => worker.received.flatMap(({ message }) => (message.case === "spec" ? [message.value] : []));
  await expect.poll(() => new Set(heard().map(({ jobId }) => jobId)).size, { timeout: 60_000 }).toBe(count);
  return [...new Map(heard().map((spec) => [spec.jobId, spec])).values()];
}

function allRecords(room: TestRoom): Map<string, JobRecord> {
  return new Map([...room.domain.domain.jobs.all()].map(({ id, record }) => [id, record]));
}

const countOf = (records: Iterable<JobRecord>, state: JobState) =>
  [...records].filter((record) => record.state === state).length;

test(
  "a cancel of 5,000 jobs in all states does what its preview said, keeps to its rate, is stopped half-way, and leaves others their turn",
  { timeout: 300_000 },
  async () => {
    await using room = await TestRoom.open();
    const steady = await room.connect({ workerId: "w1", slots: 1_000, types: [{ name: "steady", levers: ["run"] }] });
    const dying = await room.connect({ workerId: "w2", slots: 500, types: [{ name: "dying", levers: ["run"] }] });
    await (await room.connect({ workerId: "w3", types: [{ name: "waiting", levers: ["run"] }] })).leave();

    const beats = setInterval(() => {
      for (const worker of [steady, dying]) worker.say({ case: "heartbeat", value: create(WorkerHeartbeatSchema) });
    }, 2_000);
    onTestFinished(() => clearInterval(beats));

    // What runs, and of that what stands still, has succeeded, or is on a lost worker.
    await startMany(room, "steady", counts.running + counts.paused + counts.succeeded);
    await startMany(room, "dying", counts.lost);
    const begun = await specs(steady, counts.running + counts.paused + counts.succeeded);
    for (const [i, spec] of begun.entries()) {
      const paused = i < counts.paused;
      const ended = i >= counts.paused + counts.running;
      const levers = appliedAll(spec).map((lever) =>
        paused && lever.value?.value.case === "run"
          ? {
              ...lever,
              value: {
                ...lever.value,
                value: { ...lever.value.value, value: { ...lever.value.value.value, mode: RunMode.PAUSE } },
              },
            }
          : lever,
      );
      steady.say({
        case: "report",
        value: create(AttemptReportSchema, {
          ...{ jobId: spec.jobId, attempt: spec.attempt, started: true, levers },
          receivedGeneration: spec.spec?.generation ?? 0n,
          ...(ended ? { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } } : {}),
        }),
      });
    }
    for (const spec of await specs(dying, counts.lost)) dying.report(spec);
    await startMany(room, "waiting", counts.waiting);
    const given = await startMany(room, "waiting", counts.canceled);
    const cancel = {
      action: {
        case: "set" as const,
        value: { value: { case: "run" as const, value: { mode: RunMode.CANCEL, graceMs: 10_000 } } },
      },
    };
    const selection = { jobs: { case: "filter" as const, value: {} } };
    const finished = await room.domain.bulks.startBulk({
      ...{ requestId: "some", holdMs: 0, perSecond: 1_000, command: cancel },
      selection: { jobs: { case: "ids", value: { ids: given } } },
    });
    const get = async (bulkId: string): Promise<BulkRecord> => {
      const { bulk } = await room.domain.bulks.getBulk({ bulkId });
      if (!bulk) throw new Error("no record");
      return bulk;
    };
    const ended = async (bulkId = "") => {
      await expect.poll(async () => (await get(bulkId)).endedAtUs, { timeout: 120_000 }).toBeGreaterThan(0n);
      return get(bulkId);
    };
    await ended(finished.bulk?.id);
    // Another process with the name: what the one before ran is lost.
    await room.connect({ workerId: "w2", slots: 500, types: [{ name: "dying", levers: ["run"] }] });
    const expected = [
      [JobState.QUEUED, counts.waiting],
      [JobState.RUNNING, counts.running],
      [JobState.PAUSED, counts.paused],
      [JobState.SUCCEEDED, counts.succeeded],
      [JobState.CANCELED, counts.canceled],
      [JobState.LOST, counts.lost],
    ] as const;
    await expect
      .poll(() => expected.map(([state]) => countOf(allRecords(room).values(), state)), { timeout: 60_000 })
      .toEqual(expected.map(([, count]) => count));

    // Another client asks small things all the time, and notes how long it waits.
    const waits: number[] = [];
    let busy = true;
    const other = (async () => {
      for (; busy; await setImmediate()) {
        const from = performance.now();
        await room.domain.jobs.getJob({ jobId: given[0] ?? "" });
        waits.push(performance.now() - from);
      }
    })();

    const preview = () => room.domain.bulks.previewBulk({ selection, command: cancel });
    const shown = (all: readonly BulkCount[]) => all.map(({ state, jobs, reason }) => [state, jobs, reason]);
    const first = await preview();
    expect(shown(first.touched)).toEqual([
      [JobState.QUEUED, counts.waiting, ""],
      [JobState.RUNNING, counts.running, ""],
      [JobState.PAUSED, counts.paused, ""],
      [JobState.LOST, counts.lost, ""],
    ]);
    expect(shown(first.skipped)).toEqual([
      [JobState.SUCCEEDED, counts.succeeded, "succeeded already"],
      [JobState.CANCELED, counts.canceled, "canceled already"],
    ]);

    // Half-way: what has had no command keeps its state.
    const half = await room.domain.bulks.startBulk({
      requestId: randomUUID(),
      selection,
      command: cancel,
      holdMs: 0,
      perSecond,
    });
    const halfId = half.bulk?.id ?? "";
    await expect.poll(async () => (await get(halfId)).accepted, { timeout: 60_000 }).toBeGreaterThan(perSecond);
    await room.domain.bulks.stopBulk({ bulkId: halfId });
    const stopped = await get(halfId);
    expect(stopped.state).toBe(BulkState.STOPPED);
    expect(stopped.accepted).toBeLessThan(first.touchedTotal);
    const commanded = new Set(
      stopped.results.flatMap(({ jobId, outcome }) => (outcome === BulkOutcome.ACCEPTED ? [jobId] : [])),
    );
    for (const [id, { receipts }] of allRecords(room))
      expect([id, receipts.some(({ bulkId }) => bulkId === halfId)]).toEqual([id, commanded.has(id)]);

    // Within any second no more got their command than were allowed; timers may be late by 20 ms and are made up for.
    const times = [...allRecords(room).values()]
      .flatMap(({ receipts }) => receipts.filter(({ bulkId }) => bulkId === halfId))
      .map(({ acceptedAtUs }) => Number(acceptedAtUs) / 1000)
      .sort((a, b) => a - b);
    const mostInASecond = Math.max(
      ...times.map((from, i) => times.filter((at, k) => k >= i && at < from + 1000).length),
    );

    // The rest: the preview of now, and what comes of it, by the state in which each job was.
    const rest = await preview();
    const before = allRecords(room);
    const { bulk } = await room.domain.bulks.startBulk({
      requestId: randomUUID(),
      selection,
      command: cancel,
      holdMs: 0,
      perSecond: 1_000,
    });
    const done = await ended(bulk?.id);
    busy = false;
    await other;
    expect(done).toMatchObject({ state: BulkState.DONE, jobsTotal: 5_000, refused: 0 });
    expect([done.accepted, done.skipped]).toEqual([rest.touchedTotal, rest.skippedTotal]);
    expect(done.accepted + stopped.accepted).toBe(first.touchedTotal);
    const told = new Map<string, number>();
    for (const { jobId, outcome, reason } of done.results) {
      const key = `${outcome} ${before.get(jobId)?.state ?? 0} ${reason}`;
      told.set(key, (told.get(key) ?? 0) + 1);
    }
    const said = [
      ...rest.touched.map(({ state, jobs }) => [`${BulkOutcome.ACCEPTED} ${state} `, jobs] as const),
      ...rest.skipped.map(({ state, jobs, reason }) => [`${BulkOutcome.SKIPPED} ${state} ${reason}`, jobs] as const),
    ];
    expect(new Map([...told].sort())).toEqual(new Map([...said].sort()));

    waits.sort((a, b) => a - b);
    const figure = (share: number) => waits[Math.floor(waits.length * share)] ?? Infinity;
    expect(mostInASecond).toBeLessThanOrEqual(perSecond * 1.02 + 20);
    expect(figure(0.95)).toBeLessThan(100);
  },
);
