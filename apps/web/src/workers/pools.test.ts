import { JobState, RunMode, WorkerLinkState, type WorkerVitals } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { jobRecord, runValue } from "../jobs/samples.ts";
import { groupWorkers, poolSentence, waitingLines } from "./pools.ts";
import { attemptOf, workerRecord, workerVitals } from "./samples.ts";

const nowMs = 10_000_000;
const plain = (text: string) => text.replaceAll("\u00a0", " ");
const worker = (workerId: string, pool?: string, more: Parameters<typeof workerRecord>[0] = {}) =>
  workerRecord({
    workerId,
    labels: pool ? { pool } : {},
    connectedAtUs: BigInt(nowMs * 1000),
    ...more,
  });
const vitals = (workerId: string, jobs: string[], state: WorkerLinkState = WorkerLinkState.CONNECTED) =>
  workerVitals(nowMs, {
    workerId,
    attempts: jobs.map((id) => attemptOf(id)),
    link: { state, heardAtUs: BigInt(nowMs * 1000) },
  });
const queued = (id: string, more: Parameters<typeof jobRecord>[0] = {}) =>
  jobRecord({ id, state: JobState.QUEUED, queuedAtUs: BigInt((nowMs - 220_000) * 1000), ...more });

function lookUp(...all: WorkerVitals[]) {
  const byId = new Map(all.map((each) => [each.workerId, each]));
  return (id: string) => byId.get(id);
}

test("workers stand by pool, in the order of names as people count; programs and those that left come last", () => {
  const pools = groupWorkers(
    [
      worker("w-10", "gpu"),
      worker("w-9", "gpu"),
      worker("alone"),
      worker("old", "gpu", { leftAtUs: 1n }),
      worker("run-1", undefined, { transient: true }),
      worker("c-1", "cpu"),
    ],
    lookUp(),
    nowMs,
  );
  expect(pools.map((pool) => [pool.name, ...pool.workers.map(({ workerId }) => workerId)])).toEqual([
    ["cpu", "c-1"],
    ["gpu", "w-9", "w-10"],
    ["No pool", "alone"],
    ["signalbox run", "run-1"],
    ["Gone", "old"],
  ]);
});

test("a pool's sentence counts the slots that are open, says who waits since when, and who is away", () => {
  const workers = [
    worker("a", "gpu"),
    worker("b", "gpu"),
    worker("c", "gpu", { drain: {} }),
    worker("d", "gpu"),
    worker("e", "gpu"),
  ];
  const vitalsOf = lookUp(
    vitals("a", ["1", "2"]),
    vitals("b", ["3", "4"]),
    vitals("c", ["5"]),
    vitals("d", ["6"], WorkerLinkState.LOST),
    vitals("e", ["7", "8"], WorkerLinkState.SILENT),
  );
  const pools = groupWorkers(workers, vitalsOf, nowMs);
  const lines = waitingLines([queued("x"), queued("y", { queuedAtUs: BigInt((nowMs - 5_000) * 1000) })], pools);
  const [pool] = pools;
  if (!pool) throw new Error("no pool");
  const said = poolSentence(pool, vitalsOf, lines.pools.get(pool.id), nowMs);
  expect({ ...said, strong: plain(said.strong), rest: plain(said.rest) }).toEqual({
    strong: "6 of 6 slots busy, 2 jobs wait",
    rest: "oldest 3 m 40 s · 1 draining · 1 silent · 1 lost",
    tight: true,
  });
  const calm = poolSentence(pool, lookUp(vitals("a", ["1"])), undefined, nowMs);
  expect([plain(calm.strong), calm.tight]).toEqual(["1 of 2 slots busy, nobody waits", false]);
});

test("a pool without an open slot says so", () => {
  const vitalsOf = lookUp(vitals("a", [], WorkerLinkState.LOST));
  const [pool] = groupWorkers([worker("a", "gpu")], vitalsOf, nowMs);
  if (!pool) throw new Error("no pool");
  const said = poolSentence(pool, vitalsOf, { jobs: 1, sinceMs: nowMs }, nowMs);
  expect([plain(said.strong), said.tight]).toEqual(["no slot is open, 1 job waits", true]);
});

test("a job waits at each pool that could take it, a pinned one at its worker's, and one that none offers by its type", () => {
  const pools = groupWorkers(
    [
      worker("a", "cpu"),
      worker("b", "gpu"),
      worker("run-1", undefined, { transient: true, jobTypes: ["run", "index"] }),
    ],
    lookUp(),
    nowMs,
  );
  const held = { generation: 1n, levers: [{ generation: 1n, value: runValue(RunMode.PAUSE) }] };
  const lines = waitingLines(
    [
      queued("any"),
      queued("pinned", { workerId: "b" }),
      queued("orphan", { workerId: "nobody" }),
      queued("strange", { type: "render" }),
      queued("held", { spec: held }),
      queued("assigned", { attempts: [{ number: 1, workerId: "a" }] }),
      jobRecord({ id: "runs", state: JobState.RUNNING }),
    ],
    pools,
  );
  expect(Object.fromEntries([...lines.pools].map(([id, line]) => [id, line.jobs]))).toEqual({
    "pool/cpu": 1,
    "pool/gpu": 2,
  });
  expect([...lines.types.keys()].sort()).toEqual(["index", "render"]);
});
