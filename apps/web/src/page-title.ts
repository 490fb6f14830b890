import { JobState, type JobRecord, type Vitals } from "@signalbox/protocol";
import { seenState } from "./jobs/job-state.ts";
import { errorLines } from "./jobs/progress.ts";
import { compact, visible } from "./ui/format.ts";

/** Names of the tab's icons, in `public/icons`. */
export type TabIcon = "calm" | "running" | "moving" | "paused" | "failed" | "lost" | "ended" | "stale";

/** What the tab of a job's page says: its state, its errors, its name. */
export function jobTitle(job: JobRecord, vitals: Vitals | undefined): string {
  const errors = errorLines(vitals);
  const { word } = seenState(job);
  return [errors > 0 ? `◆ ${compact(errors)} ${errors === 1 ? "error" : "errors"}` : "", word, visible(job.name)]
    .filter(Boolean)
    .join(", ");
}

/** The icon for a job's state. */
export function jobIcon(job: JobRecord): TabIcon {
  const { word, between } = seenState(job);
  if (between) return "moving";
  switch (job.state) {
    case JobState.RUNNING:
      return "running";
    case JobState.PAUSED:
      return "paused";
    case JobState.FAILED:
      return "failed";
    case JobState.LOST:
      return "lost";
    default:
      return word === "Waiting" ? "calm" : "ended";
  }
}
