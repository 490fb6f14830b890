import type { Page } from "playwright";

// What a page in Chromium tells about itself: when data came, when it was painted, and how long its thread was taken.

/** How smoothly the page ran. Milliseconds. */
export interface Probe {
  /** The longest task of the page's thread, by the clock and in time that the processor worked on it: a busy machine stretches the first. */
  readonly longestTaskMs: number;
  readonly longestTaskCpuMs: number;
  /** How much of the time the processor worked for the page's thread, 0 to 1. */
  readonly cpuShare: number;
  readonly longestFrameMs: number;
  readonly frame99Ms: number;
}

interface PageProbe {
  /** When pieces of the watch stream came, `performance.now()`. */
  readonly chunks: number[];
  /** When the first piece came that can hold records. */
  recordsMs: number;
  /** When the first rows were painted. */
  rowsMs: number;
  /** When the whole list was known, and when it was painted. */
  countedMs: number;
  wholeMs: number;
  frames: number[];
}

declare global {
  interface Window {
    probe: PageProbe;
  }
}

/** Watches the page from before its first script. `whole` is what it says once it has the whole list. */
export async function installProbe(page: Page, whole: string): Promise<void> {
  await page.addInitScript((wholeText) => {
    const probe: PageProbe = {
      ...{ chunks: [], recordsMs: 0, rowsMs: 0, countedMs: 0, wholeMs: 0, frames: [] },
    };
    window.probe = probe;
    const painted = (then: (ms: number) => void) =>
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => then(performance.now());
        port2.postMessage(undefined);
      });

    const fetchBefore = window.fetch.bind(window);
    window.fetch = async (...given) => {
      const response = await fetchBefore(...given);
      if (!response.url.endsWith("LiveService/Watch") || !response.body) return response;
      const noted = response.body.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            probe.chunks.push(performance.now());
            if (chunk.length > 4_000) probe.recordsMs ||= performance.now();
            controller.enqueue(chunk);
          },
        }),
      );
      return new Response(noted, { status: response.status, headers: response.headers });
    };

    const look = new MutationObserver(() => {
      if (probe.rowsMs === 0 && document.querySelector("tr[data-job]")) {
        probe.rowsMs = -1;
        painted((ms) => (probe.rowsMs = ms));
      }
      const foot = document.querySelector("footer")?.textContent ?? "";
      if (probe.countedMs === 0 && foot.includes(wholeText)) {
        probe.countedMs = performance.now();
        painted((ms) => (probe.wholeMs = ms));
        look.disconnect();
      }
    });
    look.observe(document, { subtree: true, childList: true, characterData: true });

    let last = performance.now();
    const frame = (now: number) => {
      probe.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }, whole);
}

/** Does something, and says how smoothly the page ran meanwhile. */
export async function probed(page: Page, act: () => Promise<void>): Promise<Probe> {
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser of its own");
  await page.evaluate(() => (window.probe.frames.length = 0));
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline"] });
  const startMs = performance.now();
  await act();
  const passedMs = performance.now() - startMs;
  const frames = await page.evaluate(() => window.probe.frames.sort((a, b) => a - b));
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const threads = new Set(
    traceEvents.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain").map(threadOf),
  );
  const tasks = traceEvents.filter((event) => event.name === "RunTask" && threads.has(threadOf(event)));
  const longest = (times: readonly number[]) => times.reduce((most, time) => Math.max(most, time), 0) / 1000;
  return {
    longestTaskMs: longest(tasks.map(({ dur = 0 }) => dur)),
    longestTaskCpuMs: longest(tasks.map(({ tdur = 0 }) => tdur)),
    cpuShare: tasks.reduce((sum, { tdur = 0 }) => sum + tdur, 0) / 1000 / passedMs,
    longestFrameMs: frames.at(-1) ?? 0,
    frame99Ms: frames[Math.floor(frames.length * 0.99)] ?? 0,
  };
}

/** An event of a trace; times are microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

function threadOf({ pid, tid }: TraceEvent): string {
  return `${pid}/${tid}`;
}

/** Watches what a job's row says about its progress: `painted` resolves when another text is on the screen. */
export function watchCell(page: Page, jobId: string) {
  const name = `__painted_${jobId}`;
  const armed = page.evaluate(
    ([id, key]) => {
      const cell = document.querySelector(`tr[data-job="${id}"] .progress`);
      if (!cell) throw new Error(`no row of ${id}`);
      const before = cell.textContent;
      const seen = new Promise<{ atMs: number; afterChunkMs: number }>((resolve) => {
        const look = new MutationObserver(() => {
          if (cell.textContent === before) return;
          look.disconnect();
          const cameMs = window.probe.chunks.at(-1) ?? 0;
          requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => resolve({ atMs: Date.now(), afterChunkMs: performance.now() - cameMs });
            port2.postMessage(undefined);
          });
        });
        look.observe(cell, { subtree: true, childList: true, characterData: true });
      });
      Reflect.set(window, key, seen);
    },
    [jobId, name] as const,
  );
  const painted = armed.then(() =>
    page.evaluate((key) => Reflect.get(window, key) as Promise<{ atMs: number; afterChunkMs: number }>, name),
  );
  return { armed, painted };
}
