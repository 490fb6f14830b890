import { readFile } from "node:fs/promises";
import { chromium, type Browser, type Page } from "@playwright/test";
import { chromiumPath } from "../../scripts/chromium.ts";
import { newestShown, readThrough } from "../shown-lines.ts";
import { Classifier } from "./classify.ts";
import type { Content } from "./content.ts";
import type { Room } from "./room.ts";
import { until } from "./until.ts";

/** A line as it stood on the page. */
type Row = readonly [number: number, text: string];

/** A real browser with the page of one job, behind the proxy of readers. Everything that the page ever shows is noted. */
export class ShownPage {
  readonly #browser: Browser;
  readonly #page: Page;
  readonly #content: Content;

  private constructor(browser: Browser, page: Page, content: Content) {
    this.#browser = browser;
    this.#page = page;
    this.#content = content;
  }

  /** Opens the page of a job, whose lines must be plain text. */
  static async open(room: Room, job: { id: string; content: Content }): Promise<ShownPage> {
    const executablePath = chromiumPath();
    const browser = await chromium.launch({ ...(executablePath && { executablePath }), args: ["--no-sandbox"] });
    const page = await (await browser.newContext()).newPage();
    await page.addInitScript(noteRows);
    const token = (await readFile(room.tokenFile, "utf8")).trim();
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${room.origin}/auth/link`, { method: "POST", headers });
    const { url } = (await response.json()) as { url: string };
    const origin = `http://localhost:${room.outside.port}`;
    await page.goto(url.replace(new URL(url).origin, origin));
    await page.getByRole("heading", { name: "Jobs" }).waitFor();
    await page.goto(`${origin}/jobs/${job.id}`);
    const shown = new ShownPage(browser, page, job.content);
    await until("the page shows lines", async () => (await newestShown(page)) > 0);
    return shown;
  }

  /** Resolves when the page has come by itself to line `last`. */
  async reaches(last: number): Promise<void> {
    await until(`the page shows line ${last}`, async () => (await newestShown(this.#page)) >= last, 90_000);
  }

  /** What the page showed while it followed. Lines that it scrolled past between two looks are not in it. */
  async followed(): Promise<{ rows: number; altered: readonly number[] }> {
    const rows = await this.#page.evaluate(() => (window as unknown as { noted: Row[] }).noted);
    return { rows: rows.length, altered: rows.filter((row) => !this.#isRight(row)).map(([number]) => number) };
  }

  /** What the page shows of lines 1 to `last` when it is scrolled through. */
  async scrolledThrough(last: number): Promise<Classifier> {
    const classifier = new Classifier();
    const rows = await readThrough(this.#page, last);
    for (const row of rows) classifier.see(row[0], row[0] + 1, this.#isRight(row));
    return classifier;
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }

  #isRight([number, text]: Row): boolean {
    return this.#content.isLine(number, Buffer.from(`${text}\n`));
  }
}

/** Runs in the page: notes each text that a line is ever shown with, once. */
function noteRows(): void {
  const noted: Row[] = [];
  const texts = new Map<number, string>();
  Object.assign(window, { noted });
  setInterval(() => {
    for (const row of document.querySelectorAll("[role=log] .row.line:not(.away)")) {
      const number = Number((row.querySelector(".number")?.textContent ?? "").replaceAll(",", ""));
      const text = row.querySelector(".text")?.textContent ?? "";
      if (number === 0 || texts.get(number) === text) continue;
      texts.set(number, text);
      noted.push([number, text]);
    }
  }, 100);
}
