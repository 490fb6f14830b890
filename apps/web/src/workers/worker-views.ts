import type { WorkerRecord, WorkerVitals } from "@signalbox/protocol";
import type { Pool } from "./pools.ts";
import { workerWord, type WorkerWord } from "./worker-state.ts";

/** What the workers page can be narrowed to, in the order in which it is shown. The id is what the URL says. */
export const workerViews = [
  { id: "all", label: "All" },
  { id: "connected", label: "Connected" },
  { id: "draining", label: "Draining" },
  { id: "unheard", label: "Silent or lost" },
] as const;

/** Id of a view. */
export type WorkerView = (typeof workerViews)[number]["id"];

/** The view that a URL names; `all` if it names none. */
export function parseWorkerView(text: string | null): WorkerView {
  return workerViews.find((view) => view.id === text)?.id ?? "all";
}

/** Whether a view shows a worker in a state. A worker that drains and is not heard is in both views that say so. */
export function inWorkerView(worker: WorkerRecord, word: WorkerWord, view: WorkerView): boolean {
  switch (view) {
    case "all":
      return true;
    case "connected":
      return word === "Connected";
    case "draining":
      return word !== "Left" && worker.drain !== undefined;
    case "unheard":
      return word === "Silent" || word === "Lost";
  }
}

/** How many workers that have not left each view shows. */
export function countWorkers(
  workers: Iterable<WorkerRecord>,
  vitalsOf: (workerId: string) => WorkerVitals | undefined,
): Record<WorkerView, number> {
  const counts = { all: 0, connected: 0, draining: 0, unheard: 0 };
  for (const worker of workers) {
    const word = workerWord(worker, vitalsOf(worker.workerId));
    if (word === "Left") continue;
    for (const { id } of workerViews) if (inWorkerView(worker, word, id)) counts[id]++;
  }
  return counts;
}

/**
 * Whether all words of `query` are found in a worker: its name, labels, metadata, types, version, or the jobs that it runs. Upper and
 * lower case are the same.
 */
export function findsWorker(worker: WorkerRecord, vitals: WorkerVitals | undefined, query: string): boolean {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const pairs = (map: Readonly<Record<string, string>>) => Object.entries(map).map(([key, value]) => `${key}=${value}`);
  const text = [
    worker.workerId,
    worker.agent,
    ...worker.jobTypes,
    ...pairs(worker.labels),
    ...pairs(worker.metadata),
    ...(vitals?.attempts ?? []).flatMap((attempt) => [attempt.name, attempt.type]),
  ]
    .join("\n")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

/** The pools with the workers that a view shows and in which all words of `query` are found; those without any are left out. */
export function narrowPools(
  pools: readonly Pool[],
  view: WorkerView,
  query: string,
  vitalsOf: (workerId: string) => WorkerVitals | undefined,
): readonly Pool[] {
  return pools.flatMap((pool) => {
    const workers = pool.workers.filter((worker) => {
      const vitals = vitalsOf(worker.workerId);
      return inWorkerView(worker, workerWord(worker, vitals), view) && findsWorker(worker, vitals, query);
    });
    return workers.length > 0 ? [{ ...pool, workers }] : [];
  });
}
