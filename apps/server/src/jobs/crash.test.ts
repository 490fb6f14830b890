import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { create, equals, fromBinary } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptEndSchema,
  AttemptReportSchema,
  CommandSchema,
  EndOutcome,
  JobEntrySchema,
  JobRecordSchema,
  JobTypeSchema,
  LeverOutcome,
  LeverReportSchema,
  LeverValueSchema,
  RunMode,
  StartJobRequestSchema,
  type JobEntry,
  type JobRecord,
} from "@signalbox/protocol";
import fc from "fast-check";
import { pino } from "pino";
import { expect, test } from "vitest";
import { Refused } from "../refused.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import { Conflict, StoreClosed, UnknownOutcome, type Store } from "../store/store.ts";
import { expectSensible } from "../testing/job-history.ts";
import { foldReport } from "./fold-report.ts";
import { jobTopic, readRecord } from "./job.ts";
import { foldAssign, foldBack, foldGiveUp, foldLost, foldRetry } from "./job-fold.ts";
import { openAttempt } from "./job-record.ts";
import { Jobs, jobsTable } from "./jobs.ts";
import { recordLate } from "./late-evidence.ts";
import { settingOf } from "./levers.ts";

const logger = pino({ level: "silent" });
const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const type = create(JobTypeSchema, { name: "count", levers: ["run", "speed"] });
const worker = { workerId: "w", incarnation: "i".repeat(16), metadata: {}, clockOffsetUs: 0 };

/** Somebody who watches all jobs by cursor, across crashes, and believes what it has seen. */
class Watcher {
  readonly seen = new Map<string, { position: number; entry: JobEntry; record: JobRecord }[]>();

  /** Reads what is new of each job, and checks that it may follow on what it has seen. */
  async look({ journal }: Store): Promise<void> {
    for (const { topic } of await journal.topics("job/")) {
      const seen = this.seen.get(topic) ?? [];
      this.seen.set(topic, seen);
      for (const stored of await journal.read(topic, seen.at(-1)?.position ?? 0)) {
        const entry = fromBinary(JobEntrySchema, stored.data);
        const record = readRecord(stored);
        const before = seen.at(-1)?.record;
        if (before) expectSensible(before, record, { isRetry: entry.cause.case === "retry" });
        seen.push({ position: stored.position, entry, record });
      }
    }
  }

  /** Checks that all it has seen is there again, entry by entry, and that no job is shown older than it was. */
  async compare(store: Store, jobs: Jobs): Promise<void> {
    const { journal } = store;
    const table = store.table(jobsTable);
    for (const [topic, seen] of this.seen) {
      const stored = await journal.read(topic, 0, { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024 });
      expect(stored.slice(0, seen.length).map(({ position }) => position)).toEqual(
        seen.map(({ position }) => position),
      );
      for (const [i, { entry }] of seen.entries()) {
        const again = stored[i] && fromBinary(JobEntrySchema, stored[i].data);
        expect(again && equals(JobEntrySchema, again, entry)).toBe(true);
      }
      const newest = stored.at(-1);
      const job = jobs.get(topic.slice("job/".length));
      expect(newest && equals(JobRecordSchema, job.record, readRecord(newest))).toBe(true);
      const cached = await table.get(job.id);
      const shown = cached?.data && fromBinary(JobRecordSchema, cached.data);
      expect(shown && equals(JobRecordSchema, shown, job.record)).toBe(true);
    }
  }
}

type Step = { readonly job: number; readonly wait: boolean } & (
  | {
      readonly kind:
        "start" | "assign" | "begin" | "apply" | "lost" | "back" | "giveUp" | "retry" | "lateLine" | "lateEnd";
    }
  | { readonly kind: "run"; readonly mode: RunMode }
  | { readonly kind: "end"; readonly outcome: EndOutcome }
);

/** Does a step as the parts above would. Resolves with the position of the newest entry that it made certain. */
async function act(jobs: Jobs, ids: readonly string[], step: Step, requestId: string): Promise<JobRecord> {
  if (step.kind === "start") {
    const request = create(StartJobRequestSchema, { requestId: `job ${step.job}`, type: "count", name: "n" });
    return jobs.start(request, type, operator);
  }
  const job = jobs.get(ids[step.job] ?? "");
  const update = (fold: (before: JobRecord, now: number) => JobRecord | undefined) =>
    job.update((before, now) => {
      const record = fold(before, now);
      return record && { actor: operator, cause: { case: undefined }, record };
    });
  const report = (more: object) =>
    update((before, now) => {
      const attempt = openAttempt(before)?.number ?? 0;
      const receivedGeneration = before.spec?.generation ?? 0n;
      return foldReport(
        before,
        create(AttemptReportSchema, { attempt, receivedGeneration, started: true, ...more }),
        now,
      );
    });
  const end = (outcome: EndOutcome) => create(AttemptEndSchema, { outcome, endLine: 1n, atUs: 1n });
  switch (step.kind) {
    case "run": {
      const value = create(LeverValueSchema, { value: { case: "run", value: { mode: step.mode } } });
      const command = create(CommandSchema, { action: { case: "set", value } });
      return (await job.command(command, operator, requestId)).record;
    }
    case "assign":
      return update((before, now) => foldAssign(before, worker, now));
    case "begin":
      return report({});
    case "apply": {
      const setting = settingOf(job.record.spec, "run");
      const { generation = 0n, value } = setting ?? {};
      const lever = { generation, outcome: LeverOutcome.APPLIED, ...(value ? { value } : {}) };
      return report({ levers: [create(LeverReportSchema, lever)] });
    }
    case "end":
      return report({ end: end(step.outcome) });
    case "lost":
      return update((before, now) => foldLost(before, "silent", now));
    case "back":
      return update(foldBack);
    case "giveUp":
      return update((before, now) => foldGiveUp(before, "gone", now));
    case "retry":
      return job.once(requestId, operator, "retry", (before, now) => ({
        cause: { case: "retry", value: { $typeName: "signalbox.v1.Retry", parametersChanged: false } },
        record: foldRetry(before, undefined, now),
      }));
    case "lateLine":
    case "lateEnd": {
      const attempt = job.record.attempts.findLast(({ endedAtUs }) => endedAtUs !== 0n)?.number ?? 1;
      return recordLate(job, attempt, step.kind === "lateLine" ? { firstLine: 7 } : { end: end(EndOutcome.SUCCEEDED) });
    }
  }
}

const jobCount = 4;
const common = { job: fc.nat(jobCount - 1), wait: fc.boolean() };
const steps = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.constant("crash" as const) },
    {
      weight: 50,
      arbitrary: fc.oneof(
        fc.record({
          ...common,
          kind: fc.constantFrom(
            ...(["start", "assign", "assign", "begin", "apply", "lost", "lost", "back"] as const),
            ...(["giveUp", "retry", "retry", "lateLine", "lateEnd"] as const),
          ),
        }),
        fc.record({
          ...common,
          kind: fc.constant("run" as const),
          mode: fc.constantFrom(RunMode.RUN, RunMode.PAUSE, RunMode.CANCEL),
        }),
        fc.record({
          ...common,
          kind: fc.constant("end" as const),
          outcome: fc.constantFrom(EndOutcome.SUCCEEDED, EndOutcome.FAILED, EndOutcome.RELEASED),
        }),
      ),
    },
  ),
  { minLength: 200, maxLength: 250 },
);

test(
  "whoever watches jobs across crashes of the server never sees one go back: what was seen or acknowledged is there again, as it was",
  { timeout: 120_000 },
  async () => {
    const root = await mkdtemp(join(tmpdir(), "signalbox-crash-"));
    let crashes = 0;
    let entries = 0;
    let folders = 0;
    try {
      await fc.assert(
        fc.asyncProperty(steps, async (all) => {
          const watcher = new Watcher();
          const certain = new Map<string, bigint>();
          let now = 0;
          let folder = join(root, String(++folders));
          let store = await openSqliteStore({ folder });
          let jobs = await Jobs.open(store, logger, () => (now += 12_000_000));
          const ids: string[] = [];
          for (let job = 0; job < jobCount; job++)
            ids.push((await act(jobs, ids, { kind: "start", job, wait: true }, "")).id);
          let underWay: Promise<void>[] = [];
          const crash = async () => {
            // The files as they are at this moment, with all that is under way, are what a killed process leaves.
            const left = join(root, String(++folders));
            await watcher.look(store);
            const acknowledged = new Map(certain);
            await cp(folder, left, { recursive: true, filter: (path) => basename(path) !== "lock.db" });
            crashes++;
            await Promise.all(underWay);
            await store.close();
            await rm(folder, { recursive: true });
            folder = left;
            underWay = [];
            store = await openSqliteStore({ folder });
            jobs = await Jobs.open(store, logger, () => (now += 12_000_000));
            await watcher.compare(store, jobs);
            certain.clear();
            for (const [id, position] of acknowledged) {
              expect(jobs.get(id).record.entryPosition).toBeGreaterThanOrEqual(position);
              certain.set(id, position);
            }
          };
          for (const [i, step] of all.entries()) {
            if (step === "crash") {
              await crash();
              continue;
            }
            const done = act(jobs, ids, step, `request ${i}`).then(
              ({ id, entryPosition }) => void certain.set(id, entryPosition),
              (error: unknown) => {
                for (const expected of [Refused, Conflict, UnknownOutcome, StoreClosed])
                  if (error instanceof expected) return;
                throw error;
              },
            );
            underWay.push(done);
            if (step.wait) await done;
            else await watcher.look(store);
          }
          await crash();
          await watcher.look(store);
          for (const id of ids) entries += watcher.seen.get(jobTopic(id))?.length ?? 0;
          await store.close();
          await rm(folder, { recursive: true });
        }),
        { numRuns: 2, endOnFailure: true },
      );
    } finally {
      await rm(root, { recursive: true, force: true });
    }
    expect(crashes).toBeGreaterThanOrEqual(2);
    expect(entries).toBeGreaterThan(50);
  },
);
