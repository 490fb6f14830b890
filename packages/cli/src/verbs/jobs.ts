import { JobState, type JobRecord, type Vitals } from "@signalbox/protocol";
import { bytes, clock, compact, duration, percent, rate, unknown } from "@signalbox/protocol/format";
import { jobFilter, type JobFilterFields } from "@signalbox/protocol/job-filter";
import { currentAttempt, seenState, type StateWord } from "@signalbox/protocol/job-state";
import { itemRate, progressText } from "@signalbox/protocol/progress";
import { filterOf, type SelectionOptions } from "../bulk-selection.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { jobJson } from "../json.ts";
import { LiveTable } from "../live-table.ts";
import type { Output, Style } from "../output.ts";
import { jobPages, pageSize, type FoundJob } from "../resolve-job.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";
import { linkWords, watch, type Followed } from "../watch.ts";

export interface JobsOptions extends Omit<SelectionOptions, "all"> {
  /** 0: all. */
  readonly limit: number;
  readonly watch?: boolean;
  /** Nothing is cut to the width of the terminal. */
  readonly wide?: boolean;
}

/** Lists jobs, newest first. */
export async function jobs(invocation: Invocation, options: JobsOptions): Promise<number> {
  const { out } = invocation;
  const room = await invocation.room();
  const filter = filterOf(options);
  if (options.watch) return watchJobs(invocation, options, filter);
  const isWanted = jobFilter(filter);
  const { states, type } = filter;
  // The server looks for states and type; the rest is looked for here, in all that it has.
  const isNarrower = Object.keys(filter.labels).length > 0 || filter.workerId !== "" || filter.text !== "";
  const most = options.limit > 0 ? options.limit : Infinity;
  const found: FoundJob[] = [];
  let [read, kept] = [0, 0];
  for await (const page of jobPages(room, { states, type, ...(isNarrower ? {} : { limit: most }) })) {
    const wanted = page.filter(({ job }) => isWanted(job)).slice(0, most - kept);
    if (out.json) for (const each of wanted) await out.object(jobJson(each));
    else found.push(...wanted);
    read += page.length;
    kept += wanted.length;
    if (read > pageSize) out.status(`${compact(read)} jobs read`);
    if (kept >= most) break;
  }
  if (out.json) return exitCodes.ok;
  const isFiltered = isNarrower || states.length > 0 || type !== "";
  if (found.length === 0) out.note(isFiltered ? "No such jobs." : "No jobs yet. Start one: signalbox start TYPE");
  else await out.line(jobTable(out, found, options.wide ?? false).join("\n"));
  if (options.limit > 0 && found.length === options.limit)
    out.note(`The newest ${compact(options.limit)}; --limit 0 shows all.`);
  return exitCodes.ok;
}

/** Shows jobs as they change, until it is interrupted: redrawn on a terminal, else a line for each change. */
async function watchJobs(invocation: Invocation, options: JobsOptions, filter: JobFilterFields): Promise<number> {
  const { out, signal } = invocation;
  const room = await invocation.room();
  const records = new Map<string, JobRecord>();
  const vitals = new Map<string, Vitals>();
  const followed: Followed = {
    id: "jobs",
    kind: {
      case: "jobs",
      value: { $typeName: "signalbox.v1.JobsSubscription", withJobTypes: false, withTrends: false },
    },
    cursor: new Uint8Array(),
  };
  const isWanted = jobFilter(filter);
  const shown = () =>
    [...records.values()]
      .filter(isWanted)
      .sort((a, b) => Number(b.createdAtUs - a.createdAtUs))
      .slice(0, options.limit || undefined)
      .map((job) => ({ job, vitals: vitals.get(job.id) ?? job.vitals }));
  const table = new LiveTable(out, () => jobTable(out, shown(), options.wide ?? false));
  let caughtUp = false;
  for await (const event of watch(room, [followed], signal)) {
    if (event.kind !== "message") {
      out.note(linkWords(event));
      continue;
    }
    const { message } = event;
    if (message.case === "reset") records.clear();
    else if (message.case === "vitals") for (const each of message.value.vitals) vitals.set(each.jobId, each);
    else if (message.case === "caughtUp") caughtUp = true;
    else if (message.case === "records") {
      for (const id of message.value.gone) records.delete(id);
      for (const job of message.value.records) {
        records.set(job.id, job);
        if (!isWanted(job) || table.isLive) continue;
        const each = { job, vitals: vitals.get(job.id) ?? job.vitals };
        if (out.json) await out.object(jobJson(each));
        else await out.line(jobTable(out, [each], true)[1] ?? "");
      }
    }
    if (caughtUp) table.changed();
  }
  return exitCodes.ok;
}

const stateStyles: Readonly<Partial<Record<StateWord, Style>>> = {
  Running: "green",
  Paused: "yellow",
  Pausing: "yellow",
  Cancelling: "yellow",
  Failed: "red",
  Lost: ["red", "bold"],
  Succeeded: "blue",
  Canceled: "dim",
};

/** A state's word in its colour. */
export function paintState(out: Output, job: JobRecord): string {
  const { word } = seenState(job);
  return out.paint(stateStyles[word] ?? [], word);
}

function jobTable(out: Output, found: readonly FoundJob[], wide: boolean): string[] {
  const nowMs = Date.now();
  const columns: Column<FoundJob>[] = [
    { title: "ID", cell: ({ job }) => job.id },
    { title: "NAME", cell: ({ job }) => sanitise(job.name), shrinkTo: 12, style: (text) => out.paint("bold", text) },
    { title: "TYPE", cell: ({ job }) => sanitise(job.type), shrinkTo: 6 },
    {
      title: "STATE",
      cell: ({ job }) => seenState(job).word,
      style: (text, { job }) => out.paint(stateStyles[seenState(job).word] ?? [], text),
    },
    { title: "PROGRESS", cell: (each) => progressWords(each, nowMs), shrinkTo: 16 },
    {
      title: "RATE",
      cell: ({ job, vitals }) => rate(job.state === JobState.RUNNING ? itemRate(vitals) : undefined),
      align: "right",
    },
    { title: "LOG", cell: ({ vitals }) => (vitals ? bytes(Number(vitals.logBytes)) : unknown), align: "right" },
    { title: "WORKER", cell: ({ job }) => sanitise(currentAttempt(job)?.workerId ?? unknown), shrinkTo: 8 },
    { title: "AGE", cell: ({ job }) => ageWords(job, nowMs), align: "right" },
  ];
  return tableLines(columns, found, wide ? undefined : out.columns, (text) => out.paint("dim", text));
}

/** A job's progress, or why it stands still. */
export function progressWords({ job, vitals }: FoundJob, nowMs: number): string {
  const { share, strong, text } = progressText(job, vitals, nowMs);
  const words = sanitise(`${strong}${text}`);
  return share === undefined ? words : [percent(share), words].filter(Boolean).join(" · ");
}

/** How long a job runs or waits; when it ended. */
function ageWords(job: JobRecord, nowMs: number): string {
  if (job.endedAtUs > 0n) return clock(Number(job.endedAtUs), nowMs);
  return duration(nowMs - Number(job.startedAtUs || job.createdAtUs) / 1000);
}
