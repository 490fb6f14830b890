import { Counter, Gauge, type Registry } from "prom-client";
import type { Jobs } from "./jobs/jobs.ts";
import type { Store } from "./store/store.ts";
import type { Workers } from "./workers/workers.ts";

const states = { ok: 0, low: 1, full: 2 } as const;

interface Parts {
  readonly jobs: Jobs;
  readonly workers: Workers;
  readonly store: Store;
  readonly watches: { readonly size: number };
}

/** Adds the figures of jobs, workers, lines and the store to `/metrics`. */
export function addDomainMetrics(registry: Registry, { jobs, workers, store, watches }: Parts): void {
  const { counts, budget } = workers.ingest;
  const figures: [string, string, () => number][] = [
    ["signalbox_workers_connected", "Worker processes that are connected", () => [...workers.sessions].length],
    ["signalbox_jobs", "Jobs in the store", () => jobs.size],
    ["signalbox_watches", "Open watches", () => watches.size],
    ["signalbox_jobs_live", "Jobs that have not ended", () => [...jobs.live()].length],
    ["signalbox_ingest_chunks_total", "Chunks received", () => counts.chunks],
    ["signalbox_ingest_lines_total", "Lines acknowledged", () => counts.lines],
    ["signalbox_ingest_bytes_total", "Bytes of chunks received", () => counts.bytes],
    ["signalbox_ingest_late_lines_total", "Lines acknowledged as late evidence", () => counts.lateLines],
    ["signalbox_ingest_refused_total", "Chunks refused", () => counts.refused],
    ["signalbox_ingest_pending_bytes", "Bytes of chunks received and not yet on disk", () => budget.usedBytes],
    ["signalbox_store_commits_total", "Commits of the store", () => store.stats().commits],
    ["signalbox_store_appends_total", "Entries appended to the store", () => store.stats().appends],
    ["signalbox_store_appended_bytes_total", "Bytes appended to the store", () => store.stats().appendedBytes],
    ["signalbox_store_pending_bytes", "Bytes given to the store and not yet durable", () => store.stats().pendingBytes],
    ["signalbox_store_last_commit_ms", "Duration of the newest commit", () => store.stats().lastCommitMs],
    [
      "signalbox_store_state",
      "0: all is stored, 1: little space is left, 2: full, lines wait",
      () => states[store.health.current.state],
    ],
    [
      "signalbox_store_free_bytes",
      "Bytes that are free where the store lies; NaN if unknown",
      () => store.health.freeBytes ?? NaN,
    ],
    ["signalbox_store_reserve_bytes", "Bytes kept on the disk for commands", () => store.stats().reserveBytes],
  ];
  for (const [name, help, read] of figures) {
    if (name.endsWith("_total")) {
      const counter: Counter = new Counter({
        name,
        help,
        registers: [registry],
        collect: () => {
          counter.reset();
          counter.inc(read());
        },
      });
    } else {
      const gauge: Gauge = new Gauge({ name, help, registers: [registry], collect: () => gauge.set(read()) });
    }
  }
}
