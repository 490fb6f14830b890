import { JobState, RunMode, type JobRecord, type WorkerRecord, type WorkerVitals } from "@signalbox/protocol";
import { currentAttempt, wantedRun } from "../jobs/job-state.ts";
import { exact, plural } from "../ui/format.ts";
import { isGone, seconds, takesWork, workerWord, type WorkerWord } from "./worker-state.ts";

/**
 * Workers that stand together: those of a pool (label `pool`), those without one, the programs of `signalbox run`, which are workers
 * for as long as they run, and those that are gone.
 */
export interface Pool {
  readonly id: string;
  readonly kind: "pool" | "none" | "programs" | "gone";
  readonly name: string;
  /** By rising name. */
  readonly workers: readonly WorkerRecord[];
}

/** Looks up the newest vitals of a worker. */
export type VitalsOf = (workerId: string) => WorkerVitals | undefined;

const ranks = { pool: 0, none: 1, programs: 2, gone: 3 };
const byName = new Intl.Collator("en", { numeric: true });

/** Groups workers by pool: pools by name, then the others. `nowMs` is the server's clock. */
export function groupWorkers(workers: Iterable<WorkerRecord>, vitalsOf: VitalsOf, nowMs: number): Pool[] {
  const pools = new Map<string, Pool & { workers: WorkerRecord[] }>();
  for (const worker of workers) {
    const place = placeOf(worker, vitalsOf(worker.workerId), nowMs);
    const pool = pools.get(place.id);
    if (pool) pool.workers.push(worker);
    else pools.set(place.id, { ...place, workers: [worker] });
  }
  for (const { workers: list } of pools.values())
    list.sort((a, b) => byName.compare(a.workerId, b.workerId) || (a.workerId < b.workerId ? -1 : 1));
  return [...pools.values()].sort((a, b) => ranks[a.kind] - ranks[b.kind] || byName.compare(a.name, b.name));
}

function placeOf(worker: WorkerRecord, vitals: WorkerVitals | undefined, nowMs: number): Omit<Pool, "workers"> {
  if (isGone(worker, vitals, nowMs)) return { id: "gone", kind: "gone", name: "Gone" };
  if (worker.transient) return { id: "programs", kind: "programs", name: "signalbox run" };
  const name = worker.labels["pool"];
  return name ? { id: `pool/${name}`, kind: "pool", name } : { id: "none", kind: "none", name: "No pool" };
}

/** Jobs that wait for a slot: how many, and since when the oldest does (milliseconds since the Unix epoch). */
export interface Line {
  readonly jobs: number;
  readonly sinceMs: number;
}

/** Who waits: by pool id, for pools that could take the job; and by type, where no worker offers it. */
export interface Lines {
  readonly pools: ReadonlyMap<string, Line>;
  readonly types: ReadonlyMap<string, Line>;
}

/** Jobs that could start and have no worker yet. A job that several pools could take waits at each of them. */
export function waitingLines(jobs: Iterable<JobRecord>, pools: readonly Pool[]): Lines {
  const byType = new Map<string, string[]>();
  const byWorker = new Map<string, string>();
  for (const { id, kind, workers } of pools) {
    if (kind === "gone") continue;
    for (const worker of workers) {
      byWorker.set(worker.workerId, id);
      if (kind === "programs") continue;
      for (const type of worker.jobTypes) {
        const offering = byType.get(type);
        if (!offering) byType.set(type, [id]);
        else if (!offering.includes(id)) offering.push(id);
      }
    }
  }
  const lines = { pools: new Map<string, Line>(), types: new Map<string, Line>() };
  for (const job of jobs) {
    if (job.state !== JobState.QUEUED || currentAttempt(job) || wantedRun(job) !== RunMode.RUN) continue;
    const sinceMs = Number(job.queuedAtUs || job.createdAtUs) / 1000;
    const pinned = job.workerId ? byWorker.get(job.workerId) : undefined;
    const takers = job.workerId ? (pinned ? [pinned] : []) : (byType.get(job.type) ?? []);
    for (const id of takers) join(lines.pools, id, sinceMs);
    if (takers.length === 0) join(lines.types, job.type, sinceMs);
  }
  return lines;
}

function join(lines: Map<string, Line>, key: string, sinceMs: number): void {
  const line = lines.get(key);
  lines.set(key, { jobs: (line?.jobs ?? 0) + 1, sinceMs: Math.min(line?.sinceMs ?? Infinity, sinceMs) });
}

/** A pool's own sentence. `strong` is what matters; `tight`: jobs wait and nothing is free. */
export interface PoolSentence {
  readonly strong: string;
  readonly rest: string;
  readonly tight: boolean;
}

/** Says how a pool does: `4 of 4 slots busy, 2 jobs wait` · `oldest 3 m 40 s` · `1 silent`. `nowMs` is the server's clock. */
export function poolSentence(pool: Pool, vitalsOf: VitalsOf, line: Line | undefined, nowMs: number): PoolSentence {
  const words = new Map<WorkerWord, number>();
  let slots = 0;
  let busy = 0;
  for (const worker of pool.workers) {
    const vitals = vitalsOf(worker.workerId);
    const word = workerWord(worker, vitals);
    words.set(word, (words.get(word) ?? 0) + 1);
    if (!takesWork(worker, vitals)) continue;
    slots += worker.slots;
    busy += Math.min(worker.slots, vitals?.attempts.length ?? 0);
  }
  const others = (["Draining", "Silent", "Lost"] as const).flatMap((word) => {
    const count = words.get(word);
    return count ? `${exact(count)} ${word.toLowerCase()}` : [];
  });
  if (pool.kind === "gone")
    return { strong: "", rest: `${plural(pool.workers.length, "worker")} left or not heard for a day`, tight: false };
  if (pool.kind === "programs") {
    const programs = `${plural(pool.workers.length, "program")}, each a worker of its own while it runs`;
    return { strong: "", rest: [programs, ...others].join(" · "), tight: false };
  }
  const waits = line ? `${plural(line.jobs, "job")} ${line.jobs === 1 ? "waits" : "wait"}` : "nobody waits";
  const oldest = line ? [`oldest ${seconds(nowMs - line.sinceMs)}`] : [];
  const strong =
    slots === 0 ? `no slot is open, ${waits}` : `${exact(busy)} of ${plural(slots, "slot")} busy, ${waits}`;
  return { strong, rest: [...oldest, ...others].join(" · "), tight: line !== undefined && busy >= slots };
}
