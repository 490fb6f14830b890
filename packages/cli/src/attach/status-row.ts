import { percent, rate } from "@signalbox/protocol/format";
import { seenState } from "@signalbox/protocol/job-state";
import { share } from "@signalbox/protocol/progress";
import { sanitise } from "../sanitise.ts";
import { truncate } from "../table.ts";
import { progressWords } from "../verbs/jobs.ts";
import type { Seen } from "./steering.ts";

const barColumns = 20;

/** The row at the bottom of the terminal: state, a bar of the progress, words, and what the keys do. */
export function statusRow({ job, vitals }: Seen, columns: number, nowMs: number, note: string): string {
  const done = share(vitals);
  const { word } = seenState(job);
  const speed = vitals && vitals.itemsPerSecond > 0 ? rate(vitals.itemsPerSecond) : "";
  const parts = [
    sanitise(job.name),
    word,
    done === undefined ? "" : `${bar(done)} ${percent(done)}`,
    note,
    speed,
    words({ job, vitals }, nowMs),
  ];
  return truncate(parts.filter(Boolean).join("  "), columns - 1);
}

/** `█████▌░░░░`. */
export function bar(share: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * barColumns * 8);
  const part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8] ?? "";
  return `${"█".repeat(Math.floor(eighths / 8))}${part}`.padEnd(barColumns, "░");
}

/** What progress says beside its share, which the bar shows. */
function words(seen: Seen, nowMs: number): string {
  return progressWords(seen, nowMs).replace(/^\d[\d.,]*\s?% · /u, "");
}
