import { JobState, Level, RunMode, WorkerLinkState, type Receipt, type Vitals } from "@signalbox/protocol";
import { exact, rate } from "@signalbox/protocol/format";

// What shows that a command has had its effect: vitals of its attempt, looked at one after the other from when it was applied.

/** What a look at a job's vitals finds: the proof in words, that none will come, or nothing yet. */
export type Finding = { readonly proof: string } | "never" | undefined;

/** Looks at the vitals of a job each time they change. `state` is the job's, `now` server clock in microseconds. */
export type Measure = (vitals: Readonly<Vitals>, state: JobState, now: number) => Finding;

const standsForUs = 1_000_000;
const shortestWindowUs = 2_000_000;
/** A limit is judged by so many items, so that one more or less does not decide. */
const itemsOfWindow = 10;
const longestWindowUs = 50_000_000;
/** Timers are late by some milliseconds, and an item is done or not: a rate within this of its limit keeps it. */
const tolerance = 1.1;
/** Vitals say what changed, four times a second: a worker that is heard and says nothing new says what it was so long ago. */
const vitalsEveryUs = 500_000;
const levelNames = ["", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/** How the effect of an applied command is measured; undefined if it shows nowhere. */
export function measureOf(receipt: Receipt): Measure | undefined {
  const { value } = receipt.value ?? {};
  switch (value?.case) {
    case "run":
      if (value.value.mode === RunMode.PAUSE) return stands(receipt);
      return value.value.mode === RunMode.RUN ? moves(receipt) : undefined;
    case "speed":
      return value.value.itemsPerSecond === undefined ? undefined : keepsSpeed(receipt, value.value.itemsPerSecond);
    case "logLevel":
      return keepsLevel(receipt, value.value.level);
    case "priority":
    case "parameters":
    case undefined:
      return undefined;
  }
}

/** The counter is the same over a second. */
function stands({ atLine, decidedAtUs }: Receipt): Measure {
  let since: { at: number; count: bigint } | undefined;
  return (vitals) => {
    const at = saidAt(vitals);
    if (at <= Number(decidedAtUs)) return undefined;
    // Without items it is the log that stands, once all from before is there.
    if (!countsItems(vitals) && nextLine(vitals) < atLine) return undefined;
    const count = counted(vitals);
    if (since?.count !== count) since = { at, count };
    if (at - since.at < standsForUs) return undefined;
    if (countsItems(vitals)) return { proof: `the counter stands at ${exact(Number(count))}` };
    return { proof: count === 0n ? "no line at all" : `no line after line ${exact(Number(count))}` };
  };
}

/** The counter has moved. */
function moves({ atLine, decidedAtUs }: Receipt): Measure {
  let first: bigint | undefined;
  return (vitals) => {
    if (saidAt(vitals) <= Number(decidedAtUs)) return undefined;
    if (!countsItems(vitals))
      return nextLine(vitals) > atLine ? { proof: `line ${exact(Number(atLine))} came` } : undefined;
    const count = counted(vitals);
    // A counter that was set back starts over.
    if (first === undefined || count < first) first = count;
    return count > first ? { proof: `the counter moved to ${exact(Number(count))}` } : undefined;
  };
}

/** Items a second, over a window that lies wholly after the change, are within the limit. */
function keepsSpeed({ decidedAtUs }: Receipt, limit: number): Measure {
  const windowUs = Math.min(Math.max(shortestWindowUs, (itemsOfWindow / limit) * 1e6), longestWindowUs);
  let since: { at: number; count: bigint } | undefined;
  return (vitals, state) => {
    const at = saidAt(vitals);
    if (at <= Number(decidedAtUs)) return undefined;
    // A job that stands keeps any limit: that proves nothing.
    if (state !== JobState.RUNNING || vitals.stalledBy !== "") {
      since = undefined;
      return undefined;
    }
    if (!since || vitals.itemsDone < since.count) since = { at, count: vitals.itemsDone };
    if (at - since.at < windowUs) return undefined;
    const measured = Number(vitals.itemsDone - since.count) / ((at - since.at) / 1e6);
    if (measured > 0 && measured <= limit * tolerance) return { proof: rate(measured) };
    since = { at, count: vitals.itemsDone };
    return undefined;
  };
}

/** Lines that are not wanted any more have ceased to come; or those have come that were not wanted before. */
function keepsLevel({ atLine, before }: Receipt, level: Level): Measure {
  const old = before?.value.case === "logLevel" ? before.value.value.level : Level.TRACE;
  if (level === Level.TRACE && old === Level.TRACE) return () => "never";
  const lowers = level < old;
  let since: { at: number; next: bigint; lines: bigint; watched: bigint } | undefined;
  return (vitals, _state, now) => {
    const next = nextLine(vitals);
    if (next < atLine || (vitals.levelCounts.length === 0 && vitals.lines > 0n)) return undefined;
    // Of lines whose level nobody knows, the worker can hold none back.
    const watched = lowers ? between(vitals, level, old) : between(vitals, Level.TRACE, level);
    since ??= { at: now, next, lines: vitals.lines, watched };
    const news = Number(watched - since.watched);
    const line = exact(Number(since.next));
    if (lowers)
      return news > 0
        ? { proof: `${exact(news)} ${news === 1 ? "line" : "lines"} below ${levelNames[old] ?? ""} since line ${line}` }
        : undefined;
    if (news > 0) return "never";
    if (vitals.lines === since.lines || now - since.at < standsForUs) return undefined;
    return { proof: `no line below ${levelNames[level] ?? ""} since line ${line}` };
  };
}

/** When the worker has said what the vitals hold, server clock, microseconds. */
function saidAt({ asOfUs, link }: Readonly<Vitals>): number {
  const heardAtUs = link?.state === WorkerLinkState.CONNECTED ? Number(link.heardAtUs) - vitalsEveryUs : 0;
  return Math.max(Number(asOfUs), heardAtUs);
}

function countsItems({ itemsDone, itemsTotal }: Readonly<Vitals>): boolean {
  return itemsDone > 0n || itemsTotal !== undefined;
}

function counted(vitals: Readonly<Vitals>): bigint {
  return countsItems(vitals) ? vitals.itemsDone : nextLine(vitals) - 1n;
}

/** The number of the next line to be stored. */
function nextLine({ lines, missingLines }: Readonly<Vitals>): bigint {
  return lines + missingLines + 1n;
}

/** How many lines there are from one level up to below another. */
function between({ levelCounts }: Readonly<Vitals>, from: Level, to: Level): bigint {
  return levelCounts.slice(from, to).reduce((sum, count) => sum + count, 0n);
}
