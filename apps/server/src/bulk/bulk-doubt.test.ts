import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  BulkCommandSchema,
  BulkState,
  JobEntrySchema,
  JobSelectionSchema,
  JobTypeSchema,
  RunMode,
  StartBulkRequestSchema,
  StartJobRequestSchema,
} from "@signalbox/protocol";
import fc from "fast-check";
import { pino } from "pino";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { jobTopic } from "../jobs/job.ts";
import { Jobs } from "../jobs/jobs.ts";
import { Steering } from "../jobs/steering.ts";
import { StoreClosed, UnknownOutcome, type Store, type TopicWriter } from "../store/store.ts";
import { openTempStore } from "../store/testing.ts";
import { journalOpenedBy } from "../testing/journal-opened-by.ts";
import { Bulks } from "./bulks.ts";

const logger = pino({ level: "silent" });
const actor = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const type = create(JobTypeSchema, { name: "count", levers: ["run"] });
const workers = { jobType: () => type, isKnown: () => true, isThere: () => true };
const count = 8;

/** What becomes of an append: it is stored; it is stored, but nobody hears of it; it is not. */
type Fate = "stored" | "landed" | "lost";

/** The store, whose appends meet the given fates, one after the other; behind them all is well, until the process dies. */
function doubtful(store: Store, fates: readonly Fate[]): Store & { die: () => void } {
  let next = 0;
  let dead = false;
  const doubt = (writer: TopicWriter): TopicWriter => ({
    topic: writer.topic,
    opened: writer.opened,
    async append(data, mark) {
      if (dead) throw new StoreClosed("the process is dead");
      const fate = fates[next++] ?? "stored";
      if (fate !== "lost") {
        const position = await writer.append(data, mark);
        if (fate === "stored") return position;
      }
      throw new UnknownOutcome("the commit failed");
    },
  });
  const { journal } = store;
  const doubted = journalOpenedBy(journal, async (topic, expectedLast) =>
    doubt(await journal.open(topic, expectedLast)),
  );
  return {
    die: () => (dead = true),
    id: store.id,
    journal: doubted,
    table: store.table.bind(store),
    stats: store.stats.bind(store),
    health: store.health,
    stopWaiting: store.stopWaiting.bind(store),
    failed: store.failed,
    close: store.close.bind(store),
  };
}

const fate = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Fate>("stored") },
  { weight: 1, arbitrary: fc.constant<Fate>("landed") },
  { weight: 1, arbitrary: fc.constant<Fate>("lost") },
);

test(
  "each job is commanded once, whatever the store does not confirm and wherever the process ends",
  { timeout: 120_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { minLength: 10, maxLength: 40 }),
        fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 3 }),
        async (fates, endsAfterMs) => {
          await using temp = await openTempStore();
          const calm = await Jobs.open(temp.store, logger);
          const ids: string[] = [];
          for (let i = 0; i < count; i++) {
            const request = create(StartJobRequestSchema, { requestId: `job ${i}`, type: "count" });
            ids.push((await calm.start(request, type, actor)).id);
          }
          const request = create(StartBulkRequestSchema, {
            requestId: "many",
            selection: create(JobSelectionSchema, { jobs: { case: "filter", value: {} } }),
            command: create(BulkCommandSchema, {
              action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.PAUSE } } } },
            }),
            holdMs: 0,
            perSecond: 1_000,
          });
          const begin = async (store: Store) => {
            const jobs = await Jobs.open(store, logger);
            const steering = new Steering(jobs, workers);
            return Bulks.open({ store, jobs, steering, workers, logger, clock: systemClock });
          };
          let store = doubtful(temp.store, fates);
          let bulks = await begin(store);
          // A caller that does not know what became of its request asks again.
          const ask = () => bulks.start(request, actor).catch(() => undefined);
          let id: string | undefined;
          for (const ms of endsAfterMs) {
            id ??= (await ask())?.id;
            await new Promise((resolve) => setTimeout(resolve, ms));
            store.die();
            await bulks.close();
            // The next process knows nothing but what is stored; the fates go on with those that are left.
            store = doubtful(temp.store, fates.slice(ms % fates.length));
            bulks = await begin(store);
          }
          await expect.poll(async () => (id ??= (await ask())?.id), { timeout: 20_000 }).toBeDefined();
          const bulkId = id ?? "";
          await expect.poll(async () => (await bulks.get(bulkId)).state, { timeout: 20_000 }).toBe(BulkState.DONE);
          const done = await bulks.get(bulkId);
          expect(done).toMatchObject({ accepted: count, skipped: 0, refused: 0 });
          await bulks.close();
          for (const jobId of ids) {
            const entries = await temp.store.journal.read(jobTopic(jobId), 0);
            const commands = entries
              .map(({ data }) => fromBinary(JobEntrySchema, data))
              .filter(({ cause }) => cause.case === "command");
            expect(commands.map(({ requestId }) => requestId)).toEqual([`${bulkId}/${jobId}`]);
            expect(done.results.find((result) => result.jobId === jobId)?.generation).toBe(
              commands[0]?.record?.spec?.generation,
            );
          }
          // Read again by another process, it is the same.
          const again = await begin(temp.store);
          expect(await again.get(bulkId)).toEqual(done);
          await again.close();
        },
      ),
      { numRuns: 8 },
    );
  },
);
