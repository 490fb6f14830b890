import { create } from "@bufbuild/protobuf";
import { BulkOutcome, BulkRecordSchema, BulkState, JobState, JobTypeSchema, RunMode } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { jobRecord, runValue, speedValue } from "../samples.ts";
import { countStates, countVerb, plainCommand, setCommand, verbOf, whySkipped, type BulkVerb } from "./bulk-verbs.ts";
import { bulkProgress, bulkSelection, bulkTitle, groupResults } from "./bulk-words.ts";

const attempts = [{ number: 1, workerId: "w", assignedAtUs: 1n }];
const job = (state: JobState, mode: RunMode = RunMode.RUN, more: Parameters<typeof jobRecord>[0] = {}) =>
  jobRecord({ state, spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(mode) }] }, ...more });
const running = job(JobState.RUNNING, RunMode.RUN, { attempts });
const pausing = job(JobState.RUNNING, RunMode.PAUSE, { attempts });
const paused = job(JobState.PAUSED, RunMode.PAUSE, { attempts });
const waiting = job(JobState.QUEUED);
const held = job(JobState.QUEUED, RunMode.PAUSE);
const cancelling = job(JobState.RUNNING, RunMode.CANCEL, { attempts });
const failed = job(JobState.FAILED, RunMode.RUN, { endedAtUs: 1n });
const done = job(JobState.SUCCEEDED, RunMode.RUN, { endedAtUs: 1n });
const all = [running, pausing, paused, waiting, held, cancelling, failed, done];

test("a verb touches jobs that it would change, and says of the others why it skips them", () => {
  const why = (verb: BulkVerb) => all.map((each) => whySkipped(verb, each, undefined) ?? "");
  const canceling = "is being canceled already";
  expect(why("pause")).toEqual([
    ...["", "is being paused already", "paused already", "", "held already", canceling],
    ...["failed already", "succeeded already"],
  ]);
  expect(why("resume")).toEqual([
    ...["is not paused", "", "", "waits already", "", canceling, "failed already", "succeeded already"],
  ]);
  expect(why("cancel")).toEqual(["", "", "", "", "", canceling, "failed already", "succeeded already"]);
  expect(why("retry")).toEqual([
    ...["is running", "is pausing", "is paused", "is waiting", "is waiting", "is cancelling", "", "succeeded already"],
  ]);
  expect(whySkipped("retry", job(JobState.QUEUED, RunMode.RUN, { retryAtUs: 5n }), undefined)).toBeUndefined();
  const left = "has left the queue";
  expect(why("priority").slice(0, 5)).toEqual([left, left, left, "", ""]);
});

test("a lever that the type does not have is skipped", () => {
  const type = create(JobTypeSchema, { levers: ["run", "log_level"] });
  expect([whySkipped("speed", running, type), whySkipped("logLevel", running, type)]).toEqual([
    "its type has no such lever",
    undefined,
  ]);
});

test("counts are by verb, reason and state, the most first", () => {
  expect(countVerb("pause", all, () => undefined)).toMatchObject({ touched: 2, skipped: 6 });
  expect(countVerb("cancel", [done, done, failed], () => undefined).reasons).toEqual([
    { reason: "succeeded already", jobs: 2 },
    { reason: "failed already", jobs: 1 },
  ]);
  expect(countStates([done, waiting, done])).toEqual([
    { word: "Succeeded", jobs: 2 },
    { word: "Waiting", jobs: 1 },
  ]);
});

test("a command is read back as the verb that made it", () => {
  for (const verb of ["pause", "resume", "cancel", "retry"] as const) expect(verbOf(plainCommand(verb))).toBe(verb);
  expect([verbOf(setCommand(speedValue(3))), verbOf(undefined)]).toEqual(["speed", undefined]);
});

test("commands to many say who, what, how far, and what became of each", () => {
  const bulk = create(BulkRecordSchema, {
    ...{ actor: { name: "ana" }, command: plainCommand("cancel"), state: BulkState.HELD, heldUntilUs: 9_200_000n },
    ...{ jobsTotal: 1204, selectionWords: "state Running" },
  });
  const say = (now: object) => {
    const next = { ...bulk, ...now };
    return `${bulkTitle(next)}: ${bulkProgress(next, 5_000)}`.replaceAll("\u00a0", " ");
  };
  expect(say({})).toBe("ana cancels up to 1,204 jobs: in 5 s");
  expect([bulkTitle(bulk, 1200), bulkTitle(bulk, 1204)].map((text) => text.replaceAll("\u00a0", " "))).toEqual([
    "ana cancels 1,200 of 1,204 jobs",
    "ana cancels 1,204 jobs",
  ]);
  expect(say({ state: BulkState.RUNNING, accepted: 300, skipped: 40 })).toBe(
    "ana cancels up to 1,204 jobs: 340 of 1,204 · 40 skipped",
  );
  expect(say({ state: BulkState.DONE, accepted: 1200, skipped: 3, refused: 1 })).toBe(
    "Cancel of 1,204 jobs by ana: accepted by 1,200 of 1,204 · 3 skipped · 1 refused",
  );
  const by = { endedBy: { name: "raj" } };
  expect(say({ state: BulkState.UNDONE, ...by })).toBe(
    "Cancel of 1,204 jobs by ana: undone by raj, no job has noticed",
  );
  expect(say({ state: BulkState.STOPPED, accepted: 10, ...by })).toBe(
    "Cancel of 1,204 jobs by ana: stopped by raj after 10 of 1,204, the rest got nothing",
  );
  expect([bulkSelection(bulk), bulkSelection({ ...bulk, selectionWords: "12 selected jobs" })]).toEqual([
    "state Running",
    "",
  ]);
});

test("results are grouped by what became of the jobs, the refused first", () => {
  const result = (jobId: string, outcome: BulkOutcome, reason = "") => ({ jobId, outcome, reason, generation: 0n });
  const results = [
    result("a", BulkOutcome.ACCEPTED),
    result("b", BulkOutcome.SKIPPED, "paused already"),
    result("c", BulkOutcome.REFUSED, "no"),
    result("d", BulkOutcome.SKIPPED, "paused already"),
  ].map((init) => create(BulkRecordSchema, { results: [init] }).results[0]);
  const groups = groupResults(results.flatMap((each) => each ?? []));
  expect(groups.map((group) => [group.title, group.reason, group.results.map(({ jobId }) => jobId)])).toEqual([
    ["Refused", "no", ["c"]],
    ["Skipped", "paused already", ["b", "d"]],
    ["Accepted", "", ["a"]],
  ]);
});
