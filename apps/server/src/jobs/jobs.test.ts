import { create, equals } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  CommandSchema,
  JobRecordSchema,
  JobTypeSchema,
  RunMode,
  StartJobRequestSchema,
} from "@signalbox/protocol";
import { pino } from "pino";
import { expect, test } from "vitest";
import { UnknownOutcome, type Store } from "../store/store.ts";
import { openTempStore } from "../store/testing.ts";
import { journalOpenedBy } from "../testing/journal-opened-by.ts";
import { Jobs, jobIdOf, jobsTable } from "./jobs.ts";

const actor = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const type = create(JobTypeSchema, { name: "count" });
const logger = pino({ level: "silent" });

const request = (requestId: string) => create(StartJobRequestSchema, { requestId, type: "count" });

/** Resolves when the cached record of every job is the one that the jobs have. */
async function cached(jobs: Jobs, list: () => Promise<Map<string, Uint8Array | undefined>>): Promise<void> {
  await expect.poll(async () => (await list()).size).toBe(jobs.size);
}

test("cached records that are missing or behind are put again from the jobs' topics", async () => {
  await using temp = await openTempStore();
  const table = temp.store.table(jobsTable);
  const list = async () => new Map((await table.list()).records.map(({ key, data }) => [key, data]));
  const jobs = await Jobs.open(temp.store, logger);
  const ids: string[] = [];
  for (const id of ["a", "b", "c"]) ids.push((await jobs.start(request(id), type, actor)).id);
  await cached(jobs, list);
  const old = (await table.get(ids[1] ?? ""))?.data ?? new Uint8Array();
  for (const id of ids) {
    const hold = create(CommandSchema, {
      action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.PAUSE } } } },
    });
    await jobs.get(id).command(hold, actor, "hold");
  }
  await expect.poll(async () => Buffer.compare((await table.get(ids[1] ?? ""))?.data ?? old, old)).not.toBe(0);
  await table.delete(ids[0] ?? "");
  await table.put(ids[1] ?? "", old);

  const again = await Jobs.open(temp.store, logger);
  expect(again.size).toBe(3);
  for (const id of ids) {
    expect(equals(JobRecordSchema, again.get(id).record, jobs.get(id).record)).toBe(true);
    expect(again.get(id).record.spec?.generation).toBe(3n);
    expect((await table.get(id))?.data).toBeDefined();
  }
  expect(Buffer.compare((await table.get(ids[1] ?? ""))?.data ?? old, old)).not.toBe(0);
});

test("two servers' worth of writers on one job never lose a decision: the later one decides again on what is stored", async () => {
  await using temp = await openTempStore();
  const one = await Jobs.open(temp.store, logger);
  const { id } = await one.start(request("a"), type, actor);
  const two = await Jobs.open(temp.store, logger);
  const speed = (itemsPerSecond: number) =>
    create(CommandSchema, { action: { case: "set", value: { value: { case: "speed", value: { itemsPerSecond } } } } });
  const generations: bigint[] = [];
  for (let i = 1; i <= 20; i++) {
    const jobs = i % 3 === 0 ? two : one;
    generations.push((await jobs.get(id).command(speed(i), actor, `r${i}`)).generation);
  }
  expect(generations).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(i + 3)));
});

test("a job's id follows from who asked and the request id alone", () => {
  expect(jobIdOf(actor, "x")).toBe(jobIdOf(actor, "x"));
  expect(jobIdOf(actor, "x")).toMatch(/^j-[a-z0-9]{10}$/);
  expect(jobIdOf(actor, "x")).not.toBe(
    jobIdOf(create(ActorSchema, { kind: ActorKind.MACHINE, name: "operator" }), "x"),
  );
  expect(new Set(Array.from({ length: 10_000 }, (_, i) => jobIdOf(actor, String(i)))).size).toBe(10_000);
});

/** The store, but the first append lands and the news of it is lost. */
function unsure(store: Store): Store {
  const { journal } = store;
  let lost = false;
  return {
    id: store.id,
    failed: store.failed,
    table: (name) => store.table(name),
    stats: () => store.stats(),
    health: store.health,
    stopWaiting: () => store.stopWaiting(),
    close: () => store.close(),
    journal: journalOpenedBy(journal, async (topic, expectedLast) => {
      const writer = await journal.open(topic, expectedLast);
      return {
        topic,
        opened: writer.opened,
        append: async (data, mark) => {
          const position = await writer.append(data, mark);
          if (lost) return position;
          lost = true;
          throw new UnknownOutcome("the news was lost");
        },
      };
    }),
  };
}

test("a job whose first entry landed although the store could not say so is there, once", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(unsure(temp.store), logger);
  const heard: string[] = [];
  jobs.onEntry((job) => heard.push(job.id));
  const { id } = await jobs.start(request("a"), type, actor);
  expect([jobs.get(id).record.id, [...jobs.live()].length, heard]).toEqual([id, 1, [id]]);
  expect((await jobs.start(request("a"), type, actor)).id).toBe(id);
  expect(jobs.size).toBe(1);
});
