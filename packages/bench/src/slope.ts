import { setTimeout as delay } from "node:timers/promises";
import { runProgram } from "../../../scripts/programs.ts";
import { memory } from "./process-cost.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { openPage } from "./watching-page.ts";

// How the memory of a server, and of a page that follows a log, goes over many minutes of 20,000 lines a second and subscribers that come and go. Run on its own:
// node packages/bench/src/slope.ts [minutes], of which the first quarter warms up

const jobs = 4;
const linesPerSecond = 20_000;
const subscribers = 20;
/** A subscriber stays for so long on average, milliseconds. */
const stayMs = 2_000;
const sampleEveryMs = 2_000;

/** How memory went after warming up. */
export interface Slope {
  /** Bytes an hour, of a straight line through the lowest sample of each of twenty parts: what garbage comes and goes is left out. */
  readonly bytesPerHour: number;
  /** At the begin and the end of what was measured, bytes. */
  readonly from: number;
  readonly to: number;
}

/** Both at the same time, under the same load. */
export interface Slopes {
  readonly server: Slope;
  readonly page: Slope;
  /** Subscribers that came and went. */
  readonly visits: number;
}

export async function measureSlopes(
  minutes: number,
  onSample: (sample: { readonly at: number; readonly server: number; readonly page: number }) => void = () => undefined,
): Promise<Slopes> {
  await using signalbox = await startSignalbox();
  const loud = runProgram("packages/bench/src/load-worker.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: signalbox.tokenFile,
    WORKERS: String(jobs),
  });
  const stop = new AbortController();
  try {
    await loud.printed(/started/);
    const ids = await Promise.all(
      Array.from({ length: jobs }, () => signalbox.startJob("steady", { per_second: linesPerSecond / jobs })),
    );
    let visits = 0;
    const churn = Array.from({ length: subscribers }, async (_, i) => {
      while (!stop.signal.aborted) {
        await visit(signalbox, ids[(i + visits) % ids.length] ?? "", stop.signal);
        visits++;
      }
    });
    await using page = await openPage(signalbox, ids[0] ?? "");
    const allMs = minutes * 60_000;
    await delay(allMs / 4);
    const samples: { readonly at: number; readonly server: number; readonly page: number }[] = [];
    const begin = performance.now();
    while (performance.now() - begin < (allMs * 3) / 4) {
      const [at, server] = [performance.now() - begin, memory(signalbox.pid).now];
      samples.push({ at, server, page: await page.memory() });
      onSample(samples.at(-1) ?? { at, server, page: NaN });
      await delay(sampleEveryMs);
    }
    stop.abort();
    await Promise.all(churn);
    const slope = (of: "server" | "page") => slopeFrom(samples.map((each) => ({ at: each.at, bytes: each[of] })));
    return { server: slope("server"), page: slope("page"), visits };
  } finally {
    stop.abort();
    await loud.kill("SIGKILL");
  }
}

/** Follows all jobs and the end of a log, as a page does, and leaves. */
async function visit(signalbox: SignalboxProcess, jobId: string, stop: AbortSignal): Promise<void> {
  const stay = AbortSignal.timeout(Math.round(stayMs * (0.5 + Math.random())));
  const signal = AbortSignal.any([stay, stop]);
  try {
    const watch = signalbox.web.live.watch(
      {
        subscriptions: [
          { id: "jobs", kind: { case: "jobs", value: {} } },
          { id: "log", kind: { case: "log", value: { jobId, start: { case: "last", value: 1_000 } } } },
        ],
      },
      { signal },
    );
    for await (const _ of watch) if (signal.aborted) break;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

function slopeFrom(samples: readonly Sample[]): Slope {
  const lows = lowest(samples, 20);
  return { bytesPerHour: slopeOf(lows) * 3_600_000, from: lows[0]?.bytes ?? NaN, to: lows.at(-1)?.bytes ?? NaN };
}

/** The lowest sample of each of so many parts of the time. */
function lowest(samples: readonly Sample[], parts: number): Sample[] {
  const size = Math.max(1, Math.ceil(samples.length / parts));
  const lows: Sample[] = [];
  for (let i = 0; i < samples.length; i += size) {
    const [low] = samples.slice(i, i + size).sort((a, b) => a.bytes - b.bytes);
    if (low) lows.push(low);
  }
  return lows;
}

/** Bytes a millisecond, by least squares. */
function slopeOf(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) => samples.reduce((sum, each) => sum + of(each), 0) / samples.length;
  const [at, bytes] = [mean((each) => each.at), mean((each) => each.bytes)];
  const up = samples.reduce((sum, each) => sum + (each.at - at) * (each.bytes - bytes), 0);
  return up / samples.reduce((sum, each) => sum + (each.at - at) ** 2, 0);
}

if (import.meta.main) {
  const minutes = Number(process.argv[2] ?? 20);
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  let told = 0;
  const { server, page, visits } = await measureSlopes(minutes, ({ at, server, page }) => {
    if (at < told) return;
    told += 60_000;
    console.log(`${Math.round(at / 60_000)} min: server ${mb(server)} MB, page ${mb(page)} MB`);
  });
  console.log(`${minutes} min at 20,000 lines/s, ${visits} visits of subscribers; after warming up:`);
  for (const [name, { from, to, bytesPerHour }] of Object.entries({ server, page }))
    console.log(`  ${name}: ${mb(from)} → ${mb(to)} MB, ${mb(bytesPerHour)} MB/h`);
}
