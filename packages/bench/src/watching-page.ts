import { readFile } from "node:fs/promises";
import { chromium, type CDPSession } from "playwright";
import { chromiumPath } from "../../../scripts/chromium.ts";
import { memory } from "./process-cost.ts";
import type { SignalboxProcess } from "./signalbox-process.ts";

/** A page in Chromium that follows the log of a job. */
export interface WatchingPage extends AsyncDisposable {
  /** What Chromium's processes for pages hold after a collection of garbage, bytes. */
  readonly memory: () => Promise<number>;
}

/** Signs in and opens the page of a job. */
export async function openPage({ webUrl, tokenFile }: SignalboxProcess, jobId: string): Promise<WatchingPage> {
  const executablePath = chromiumPath();
  const browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] });
  const token = (await readFile(tokenFile, "utf8")).trim();
  const link = await fetch(`${webUrl}/auth/link`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
  const { url } = (await link.json()) as { url: string };
  const page = await browser.newPage();
  await page.goto(url);
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  await page.goto(`${new URL(url).origin}/jobs/${jobId}`);
  await page.getByRole("log").waitFor();
  const pageSession = await page.context().newCDPSession(page);
  const browserSession = await browser.newBrowserCDPSession();
  return {
    async memory() {
      await pageSession.send("HeapProfiler.collectGarbage");
      return (await renderers(browserSession)).reduce((sum, pid) => sum + memory(pid).now, 0);
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

async function renderers(session: CDPSession): Promise<number[]> {
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
}
