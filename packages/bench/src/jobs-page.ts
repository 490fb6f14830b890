import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { CommandSchema, RunMode, type LeverValue } from "@signalbox/protocol";
import { chromium, type Page } from "playwright";
import { chromiumPath } from "../../../scripts/chromium.ts";
import { runProgram } from "../../../scripts/programs.ts";
import { installProbe, probed, watchCell, type Probe } from "./page-probe.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { quantile } from "./statistics.ts";

// `pnpm --filter @signalbox/bench run jobs-page`, or node packages/bench/src/jobs-page.ts: the page of jobs in Chromium with many jobs: how
// soon it is painted, how soon a change is, and how long the page's thread is taken while somebody scrolls and jobs change. The page must be
// built (`pnpm run build`). JOBS and CHANGES (a second) change the load.

/** What is measured of the page of jobs. Times are milliseconds. */
export interface JobsPageTimes {
  /** From the first records in the browser to the first rows on the screen. */
  readonly firstRowsMs: number;
  /** From the last record in the browser to the whole list on the screen. */
  readonly wholeListMs: number;
  /** From a command's call to its effect on the screen, with nothing else going on and while other jobs change. */
  readonly quietChangeMs: readonly number[];
  readonly busyChangeMs: readonly number[];
  /** From the record in the browser to the screen, with nothing else going on. */
  readonly paintMs: readonly number[];
  /** While somebody scrolls, while jobs change, and with both. */
  readonly scrolling: Probe;
  readonly changing: Probe;
  readonly both: Probe;
  /** Changes a second that were made. */
  readonly changesPerSecond: number;
}

/** What holds a job in the queue. */
const held = {
  case: "run" as const,
  value: { $typeName: "signalbox.v1.RunValue" as const, mode: RunMode.PAUSE, graceMs: 0, reason: "", bySystem: false },
} satisfies LeverValue["value"];

/** What lets such a job wait for a slot; there is none. */
const freed: LeverValue["value"] = { case: "run", value: { ...held.value, mode: RunMode.RUN } };

/** Starts `count` jobs, measures a page that shows them, and ends all. */
export async function measureJobsPage(count: number, changesPerSecond: number): Promise<JobsPageTimes> {
  await using signalbox = await startSignalbox();
  const env = { SIGNALBOX_URL: signalbox.workerUrl, SIGNALBOX_TOKEN_FILE: signalbox.tokenFile, WORKERS: "8" };
  const worker = runProgram("packages/bench/src/load-worker.ts", env);
  try {
    await worker.printed(/started/);
    for (let i = 0; i < 8; i++) await signalbox.startJob("steady", { per_second: 50 });
    const ids = await startHeld(signalbox, count - 8);
    const executablePath = chromiumPath();
    const browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
      return await measure(signalbox, page, ids, count, changesPerSecond);
    } finally {
      await browser.close();
    }
  } finally {
    await worker.kill("SIGKILL");
  }
}

async function measure(
  signalbox: SignalboxProcess,
  page: Page,
  ids: readonly string[],
  count: number,
  changesPerSecond: number,
): Promise<JobsPageTimes> {
  await installProbe(page, `of ${count.toLocaleString("en")}\u00a0jobs`);
  await page.goto(await signInLink(signalbox));
  await page.waitForFunction(() => window.probe.wholeMs > 0, undefined, { timeout: 60_000 });
  const { firstRowsMs, wholeListMs } = await page.evaluate(() => {
    const { chunks, rowsMs, wholeMs } = window.probe;
    const before = (ms: number) => chunks.findLast((at) => at <= ms) ?? ms;
    // The first answer says hello; records come with the first one of some size.
    return { firstRowsMs: rowsMs - window.probe.recordsMs, wholeListMs: wholeMs - before(window.probe.countedMs) };
  });
  await delay(2_000);

  const shown = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("tr[data-job]")].map((row) => row.dataset["job"] ?? ""),
  );
  const changed = shown.filter((id) => ids.includes(id)).slice(0, 8);
  const others = ids.filter((id) => !changed.includes(id));
  const quiet = await changeTimes(signalbox, page, changed, 20);

  const scrolling = await probed(page, () => scroll(page, 5_000));
  const stop = new AbortController();
  const made = storm(signalbox, others, changesPerSecond, stop.signal);
  await page.evaluate(() => document.querySelector(".rows-scroll")?.scrollTo({ top: 0 }));
  await delay(1_000);
  const changing = await probed(page, () => delay(5_000));
  const busy = await changeTimes(signalbox, page, changed, 20);
  const both = await probed(page, () => scroll(page, 5_000));
  stop.abort();
  return {
    ...{ firstRowsMs, wholeListMs, scrolling, changing, both },
    quietChangeMs: quiet.map(({ callMs }) => callMs),
    paintMs: quiet.map(({ paintMs }) => paintMs),
    busyChangeMs: busy.map(({ callMs }) => callMs),
    changesPerSecond: await made,
  };
}

/** Starts jobs that are held in the queue. */
async function startHeld(signalbox: SignalboxProcess, count: number): Promise<string[]> {
  const ids: string[] = [];
  let started = 0;
  const lane = async () => {
    while (started < count) {
      const number = started++;
      const { job } = await signalbox.jobs.startJob({
        ...{ requestId: randomUUID(), type: "idle", name: `job ${number}`, levers: [{ value: held }] },
        labels: { team: `team-${number % 7}`, pool: number % 2 === 0 ? "cpu" : "gpu" },
      });
      if (job) ids.push(job.id);
    }
  };
  await Promise.all(Array.from({ length: 64 }, lane));
  return ids;
}

/** Lets jobs of the screen go on and holds them again in turns, and says how long it took until that was on the screen. */
async function changeTimes(signalbox: SignalboxProcess, page: Page, ids: readonly string[], count: number) {
  const times: { callMs: number; paintMs: number }[] = [];
  for (let i = 0; i < count; i++) {
    const id = ids[i % ids.length] ?? "";
    const seen = watchCell(page, id);
    await seen.armed;
    const sentMs = Date.now();
    await set(signalbox, id, freed);
    const painted = await seen.painted;
    times.push({ callMs: painted.atMs - sentMs, paintMs: painted.afterChunkMs });
    // Back, so that the next one is a change, too.
    await set(signalbox, id, held);
    await delay(300);
  }
  return times;
}

/** Changes jobs at a rate until `signal` aborts, and says what the rate was. */
async function storm(
  signalbox: SignalboxProcess,
  ids: readonly string[],
  perSecond: number,
  signal: AbortSignal,
): Promise<number> {
  const startMs = performance.now();
  let made = 0;
  const open = new Set<Promise<void>>();
  while (!signal.aborted) {
    const due = ((performance.now() - startMs) / 1000) * perSecond;
    for (; made < due && open.size < 200; made++) {
      const id = ids[(made * 7919) % ids.length] ?? "";
      const priority = 1 + (made % 90);
      const call = set(signalbox, id, {
        case: "priority",
        value: { $typeName: "signalbox.v1.PriorityValue", priority },
      });
      open.add(call);
      void call.finally(() => open.delete(call));
    }
    await delay(10);
  }
  await Promise.all(open);
  return (made / (performance.now() - startMs)) * 1000;
}

async function set({ jobs }: SignalboxProcess, jobId: string, value: LeverValue["value"]): Promise<void> {
  const command = create(CommandSchema, { action: { case: "set", value: { value } } });
  await jobs.sendCommand({ requestId: randomUUID(), jobId, command });
}

/** Turns the wheel for a while, down and up again. */
async function scroll(page: Page, ms: number): Promise<void> {
  await page.mouse.move(600, 500);
  const startMs = performance.now();
  for (let passed = 0; passed < ms; passed = performance.now() - startMs) {
    await page.mouse.wheel(0, passed < ms * 0.7 ? 400 : -900);
    await delay(16);
  }
}

async function signInLink({ webUrl, tokenFile }: SignalboxProcess): Promise<string> {
  const token = (await readFile(tokenFile, "utf8")).trim();
  const answer = await fetch(`${webUrl}/auth/link`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
  return ((await answer.json()) as { url: string }).url;
}

const count = Number(process.env["JOBS"] ?? 10_000);
const times = await measureJobsPage(count, Number(process.env["CHANGES"] ?? 200));
const load = () =>
  loadavg()
    .map((each) => each.toFixed(1))
    .join(", ");
const spread = (all: readonly number[]) => {
  const sorted = [...all].sort((a, b) => a - b);
  return `median ${quantile(sorted, 0.5).toFixed(0)} ms, worst ${(sorted.at(-1) ?? NaN).toFixed(0)} ms`;
};
const task = (probe: Probe) =>
  `longest task ${probe.longestTaskMs.toFixed(0)} ms (${probe.longestTaskCpuMs.toFixed(0)} ms of processor), ` +
  `${(probe.cpuShare * 100).toFixed(0)} % of a processor, frames: 99 % within ${probe.frame99Ms.toFixed(0)} ms, longest ${probe.longestFrameMs.toFixed(0)} ms`;
console.log(`The page of jobs with ${count.toLocaleString("en")} jobs (load ${load()})`);
console.log(`  first records to first rows    ${times.firstRowsMs.toFixed(0)} ms`);
console.log(`  last record to the whole list  ${times.wholeListMs.toFixed(0)} ms`);
console.log(`  record to paint                ${spread(times.paintMs)}`);
console.log(`  command to paint, quiet        ${spread(times.quietChangeMs)}`);
console.log(`  command to paint, ${times.changesPerSecond.toFixed(0)} changes/s ${spread(times.busyChangeMs)}`);
console.log(`  scrolling                      ${task(times.scrolling)}`);
console.log(`  changing                       ${task(times.changing)}`);
console.log(`  scrolling while changing       ${task(times.both)}`);
