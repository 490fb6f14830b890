import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ActorKind,
  ActorSchema,
  AuditFilterSchema,
  AuditKind,
  CommandSchema,
  JobTypeSchema,
  type LeverValueSchema,
  ReceiptState,
  RunMode,
  StartJobRequestSchema,
  type AuditRow,
} from "@signalbox/protocol";
import { pino } from "pino";
import { expect, test } from "vitest";
import { Jobs } from "../jobs/jobs.ts";
import { openTempStore } from "../store/testing.ts";
import { openTestDomain, type TestDomain } from "../testing/open-test-domain.ts";
import { AuditLog } from "./audit-log.ts";
import { Audit } from "./audit.ts";
import { AuditView } from "./audit-view.ts";

const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator", address: "127.0.0.1" });
const type = create(JobTypeSchema, { name: "count" });
const logger = pino({ level: "silent" });

const startJob = async (jobs: Jobs, requestId: string, name = "") =>
  (await jobs.start(create(StartJobRequestSchema, { requestId, type: "count", name }), type, operator)).id;

const run = (mode: RunMode) =>
  create(CommandSchema, { action: { case: "set", value: { value: { case: "run", value: { mode } } } } });

const noFilter = create(AuditFilterSchema);

/** The words of rows, with what became of them. */
const told = (rows: readonly AuditRow[]) => rows.map(({ words, outcome }) => `${words} ${outcome}`);

async function list(test: TestDomain, filter: Parameters<TestDomain["audit"]["listAudit"]>[0]["filter"] = {}) {
  return test.audit.listAudit({ filter: filter ?? {} });
}

test("rows of all jobs come newest first, each command with what became of it", async () => {
  await using room = await openTestDomain();
  const { jobs } = room.domain;
  const id = await startJob(jobs, "one", "nightly");
  await jobs.get(id).command(run(RunMode.PAUSE), operator, "hold");
  await jobs.get(id).command(run(RunMode.CANCEL), operator, "cancel");
  const { rows, nextPageToken, beginsAtUs } = await list(room, { kinds: [AuditKind.START, AuditKind.COMMAND] });
  expect(told(rows)).toEqual([`Cancel ${ReceiptState.APPLIED}`, `Pause ${ReceiptState.APPLIED}`, "Start count 0"]);
  expect([nextPageToken, beginsAtUs]).toEqual(["", 0n]);
  const [cancel] = rows;
  expect(cancel).toMatchObject({
    ...{ jobId: id, jobName: "nightly", topic: `job/${id}`, requestId: "cancel", refused: false },
    actor: { kind: ActorKind.OPERATOR, name: "operator", address: "127.0.0.1" },
  });
  expect(cancel?.outcomeAtUs).toBeGreaterThanOrEqual(cancel?.atUs ?? 0n);
  expect(cancel?.generation).toBe((cancel?.onGeneration ?? 0n) + 1n);
  expect(cancel?.digest).toHaveLength(32);
});

test("a row tells the values that were set and those before, and is found by them and by its reason", async () => {
  await using room = await openTestDomain();
  const { jobs } = room.domain;
  const request = { requestId: "one", type: "count", parameters: { times: 3, path: "/x", deep: { on: true } } };
  const counts = create(JobTypeSchema, { name: "count", parametersSchema: { type: "object" } });
  const { id } = await jobs.start(create(StartJobRequestSchema, request), counts, operator);
  let ids = 0;
  const set = async (value: NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>) => {
    const command = create(CommandSchema, { action: { case: "set", value: { value } } });
    await jobs.get(id).command(command, operator, `set ${++ids}`);
  };
  await set({ case: "priority", value: { priority: 7 } });
  await set({ case: "priority", value: { priority: 9 } });
  await set({ case: "priority", value: { priority: 9 } });
  await set({ case: "parameters", value: { parameters: { times: 5, path: "/x", deep: { on: false }, x: "" } } });
  await set({ case: "run", value: { mode: RunMode.PAUSE, reason: "because of Lunch" } });
  const { rows } = await list(room, { kinds: [AuditKind.START, AuditKind.COMMAND] });
  expect(rows.map(({ words, values, reason }) => [words, values, reason])).toEqual([
    ["Pause", "", "because of Lunch"],
    ["Parameters", "times 3 → 5, deep.on true → false, x – → “”", ""],
    ["Priority 9", "", ""],
    ["Priority 9", "before 7", ""],
    ["Priority 7", "", ""],
    ["Start count", `times 3, path /x, deep {"on":true}`, ""],
  ]);
  const found = async (text: string) => (await list(room, { text })).rows.map(({ words }) => words);
  expect(await found("lunch")).toEqual(["Pause"]);
  expect(await found("→ 5")).toEqual(["Parameters"]);
});

test("a call that is refused is a row, with its code, its reason and the generation that it met", async () => {
  await using room = await openTestDomain();
  const id = await startJob(room.domain.jobs, "one", "nightly");
  const command = {
    action: { case: "set", value: { value: { case: "speed", value: { itemsPerSecond: -1 } } } },
  } as const;
  await expect(room.jobs.sendCommand({ jobId: id, requestId: "fast", command })).rejects.toThrow(ConnectError);
  await expect(room.jobs.startJob({ requestId: "no", type: "nothing" })).rejects.toThrow(ConnectError);
  await expect(room.jobs.undrainWorker({ workerId: "nobody" })).rejects.toThrow(ConnectError);
  await expect(room.jobs.getJob({ jobId: "nothing" })).rejects.toThrow(ConnectError);
  await room.domain.auditLog.idle();
  const { rows } = await list(room, { refused: true });
  expect(rows.map(({ words, code, kind }) => ({ words, code, kind }))).toEqual([
    { words: "Undrain nobody", code: Code.NotFound, kind: AuditKind.REFUSAL },
    { words: "Start nothing", code: Code.InvalidArgument, kind: AuditKind.REFUSAL },
    { words: "Speed -1 /s", code: Code.InvalidArgument, kind: AuditKind.REFUSAL },
  ]);
  expect(rows[2]).toMatchObject({ jobId: id, jobName: "nightly", onGeneration: 2n, requestId: "fast", topic: "audit" });
  expect(rows[2]?.reason).toContain("Speed -1");
});

test("a flood of one refusal is two entries a minute, and says how many there were", async () => {
  await using temp = await openTempStore();
  let now = 1_000_000_000;
  const log = new AuditLog({ journal: temp.store.journal, clock: () => now, logger });
  const refusal = { words: "Pause", code: 5, reason: "There is no job x." };
  for (let i = 0; i < 500; i++) log.refuse(operator, refusal);
  log.refuse(operator, { ...refusal, words: "Cancel" });
  now += 61_000_000;
  log.refuse(operator, refusal);
  const stored: [string, number][] = [];
  log.onEntry(({ entry: { event } }) => {
    if (event.case === "refusal") stored.push([event.value.words, event.value.repeated]);
  });
  await log.settle();
  expect(stored).toEqual([
    ["Pause", 0],
    ["Cancel", 0],
    ["Pause", 498],
    ["Pause", 0],
  ]);
});

test("a flood of refusals that all differ is bounded too, and nothing waits for it", async () => {
  await using temp = await openTempStore();
  const log = new AuditLog({ journal: temp.store.journal, clock: () => 1_000_000_000, logger });
  const stored: number[] = [];
  log.onEntry(({ entry: { event } }) => void (event.case === "refusal" && stored.push(event.value.repeated)));
  for (let i = 0; i < 20_000; i++) log.refuse(operator, { words: `Pause ${i}`, code: 5 });
  await log.settle();
  expect(stored.length).toBeLessThan(300);
  expect(stored.reduce((sum, repeated) => sum + 1 + repeated, 0)).toBe(20_000);
});

test("what comes faster than it can be stored is left out, and that is said", { timeout: 60_000 }, async () => {
  await using temp = await openTempStore();
  const log = new AuditLog({ journal: temp.store.journal, clock: () => 1_000_000_000, logger });
  const words: string[] = [];
  log.onEntry(({ entry: { event } }) => {
    if (event.case === "refusal") words.push(event.value.reason);
  });
  for (let i = 0; i < 1_500; i++) log.signIn(operator, "signed in", false);
  await log.settle();
  expect(words).toEqual(["499 entries came faster than they could be stored."]);
});

test("pages follow one another without a gap or a repetition, and every filter holds", async () => {
  await using room = await openTestDomain();
  const { jobs } = room.domain;
  const ids: string[] = [];
  for (let i = 0; i < 12; i++) ids.push(await startJob(jobs, `job ${i}`, i % 2 ? "odd" : "even"));
  for (const id of ids) await jobs.get(id).command(run(RunMode.PAUSE), operator, "hold");
  const kinds = [AuditKind.START, AuditKind.COMMAND];
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await room.audit.listAudit({ filter: { kinds }, pageSize: 5, pageToken });
    expect(page.rows.length).toBeLessThanOrEqual(5);
    seen.push(...page.rows.map(({ topic, position }) => `${topic} ${position}`));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(seen).toHaveLength(24);
  expect(new Set(seen).size).toBe(24);
  const count = async (filter: Parameters<typeof list>[1]) => (await list(room, filter)).rows.length;
  expect(await count({ kinds, jobId: ids[3] ?? "" })).toBe(2);
  expect(await count({ kinds, text: "ODD" })).toBe(12);
  expect(await count({ kinds, text: "pause" })).toBe(12);
  expect(await count({ kinds, actor: "127.0" })).toBe(24);
  expect(await count({ kinds, actor: "somebody" })).toBe(0);
  expect(await count({ kinds, actorKinds: [ActorKind.WORKER] })).toBe(0);
  expect(await count({ kinds, refused: false })).toBe(24);
  const middle = (await list(room, { kinds: [AuditKind.COMMAND] })).rows.at(-1)?.atUs ?? 0n;
  expect(await count({ kinds, fromUs: middle })).toBe(12);
  expect(await count({ kinds, untilUs: middle })).toBe(12);
  await expect(room.audit.listAudit({ pageToken: "nonsense" })).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(room.audit.listAudit({ pageSize: 1_001 })).rejects.toMatchObject({ code: Code.InvalidArgument });
});

test("who follows the view hears of new rows, and again of a row whose outcome changes", async () => {
  await using room = await openTestDomain();
  const { jobs } = room.domain;
  const id = await startJob(jobs, "one");
  const heard: AuditRow[] = [];
  const stop = new AbortController();
  let caughtUp = false;
  const filter = { kinds: [AuditKind.COMMAND, AuditKind.SIGN_IN] };
  const subscriptions = [{ id: "audit", kind: { case: "audit" as const, value: { filter } } }];
  const watching = (async () => {
    for await (const { message } of room.live.watch({ subscriptions }, { signal: stop.signal })) {
      if (message.case === "caughtUp") caughtUp = true;
      if (message.case === "audit") heard.push(...message.value.rows);
    }
  })().catch(() => undefined);
  await expect.poll(() => caughtUp).toBe(true);
  const expiring = create(CommandSchema, { ...run(RunMode.PAUSE), deliverWithinMs: 1n });
  await jobs.get(id).command(expiring, operator, "hold");
  room.domain.auditLog.signIn(operator, "signed in", false);
  await expect
    .poll(() => told(heard))
    .toEqual(expect.arrayContaining([`Pause ${ReceiptState.APPLIED}`, "Signed in 0"]));
  stop.abort();
  await watching;
});

test("a large view holds the newest rows and says where it begins; of one job everything is there", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(temp.store, logger);
  const audit = new Audit({ store: temp.store, jobs, clock: () => Date.now() * 1000, logger });
  const ids: string[] = [];
  for (let i = 0; i < 10; i++) ids.push(await startJob(jobs, `job ${i}`));
  for (const id of ids) await jobs.get(id).command(run(RunMode.PAUSE), operator, "hold");
  const view = new AuditView(temp.store.journal, jobs, audit.log, logger, 10);
  const all = async (jobId: string) => {
    const words: string[] = [];
    for await (const rows of view.select({ ...noFilter, jobId }, "")) words.push(...rows.map((row) => row.words));
    return words;
  };
  expect(await all("")).toEqual(Array.from({ length: 10 }, () => "Pause"));
  expect(view.beginsAt).toBeGreaterThan(0);
  expect(await all(ids[0] ?? "")).toEqual(["Pause", "Start count"]);
  await audit.close();
});

test("rows that come while the history is read stand in the view once", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(temp.store, logger);
  const audit = new Audit({ store: temp.store, jobs, clock: () => Date.now() * 1000, logger });
  const ids: string[] = [];
  for (let i = 0; i < 30; i++) ids.push(await startJob(jobs, `job ${i}`));
  const reading = audit.view.ready();
  await Promise.all(ids.map((id) => jobs.get(id).command(run(RunMode.PAUSE), operator, "hold")));
  await reading;
  const words: string[] = [];
  for await (const rows of audit.view.select(undefined, "")) words.push(...rows.map((row) => row.words));
  expect(words.filter((each) => each === "Pause")).toHaveLength(30);
  expect(words.filter((each) => each === "Start count")).toHaveLength(30);
  await audit.close();
});

test("the check of everything ends with its verdict over the wire", async () => {
  await using room = await openTestDomain();
  await startJob(room.domain.jobs, "one");
  let verdict;
  for await (const step of room.audit.verifyAudit({})) verdict = step.verdict ?? verdict;
  expect(verdict).toMatchObject({ intact: true, faults: [] });
});
