import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { JobState } from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

test.use({ env: { SIGNALBOX_BUILT_IN_WORKER: "on", SIGNALBOX_FIRST_JOB: "off" } });

/** A folder with so many small files. */
async function folderWith(signalbox: Signalbox, files: number): Promise<string> {
  const folder = join(signalbox.folder, "files");
  for (let sub = 0; sub * 100 < files; sub++) {
    await mkdir(join(folder, `part-${String(sub).padStart(3, "0")}`), { recursive: true });
    await Promise.all(
      Array.from({ length: Math.min(100, files - sub * 100) }, (_, i) =>
        writeFile(
          join(folder, `part-${String(sub).padStart(3, "0")}`, `${String(i).padStart(2, "0")}.txt`),
          `file ${sub} ${i}`,
        ),
      ),
    );
  }
  return folder;
}

/** Starts an index job from the form of the page, and opens it. */
async function startFromForm(page: Page, folder: string, speed: string): Promise<void> {
  await page.getByRole("button", { name: "Start job" }).first().click();
  const form = page.getByRole("dialog");
  await form.getByLabel("Folder").fill(folder);
  await form.getByLabel(/^Speed/).fill(speed);
  await form.getByRole("button", { name: /^Start/ }).click();
  await expect(page.getByRole("log")).toBeVisible();
}

const idOf = (page: Page) => /\/jobs\/([^/?#]+)/.exec(page.url())?.[1] ?? "";

/** The numbers of the files that the job has finished, from the stored log. */
async function items(signalbox: Signalbox, id: string): Promise<number[]> {
  const text = (await signalbox.text(id)).toString();
  return [...text.matchAll(/^file ([\d,]+) of /gm)].map((match) => Number(match[1]?.replaceAll(",", "")));
}

const done = async (signalbox: Signalbox, id: string) => Number((await signalbox.job(id)).vitals?.itemsDone ?? 0n);
const stateWord = (page: Page) =>
  page
    .getByRole("status")
    .filter({ hasText: /Running|Pausing|Paused|Resuming|Cancelling|Canceled|Succeeded/ })
    .first();

test("a job's lines arrive, and every lever moves it when its worker says so", async ({ signalbox, page }) => {
  const folder = await folderWith(signalbox, 3000);
  await signalbox.open(page);
  await startFromForm(page, folder, "50");
  const id = idOf(page);
  const log = page.getByRole("log");
  const levers = page.getByRole("toolbar", { name: "Levers" });
  await expect(log).toContainText(/file \d+ of 3,000/);
  await expect(stateWord(page)).toContainText("Running");

  // Pause: 'Paused' only after the worker's report; nothing moves for 3 s.
  await levers.getByRole("button", { name: "Pause" }).click();
  await expect(stateWord(page)).toContainText("Paused");
  expect((await signalbox.job(id)).record.state).toBe(JobState.PAUSED);
  const stoodAt = await done(signalbox, id);
  const stoodSince = Date.now();
  while (Date.now() - stoodSince < 3000) {
    expect((await items(signalbox, id)).at(-1)).toBe(stoodAt);
    expect(await done(signalbox, id)).toBe(stoodAt);
  }
  await levers.getByRole("button", { name: "Resume" }).click();
  await expect.poll(() => done(signalbox, id)).toBeGreaterThan(stoodAt + 20);
  const all = await items(signalbox, id);
  expect(all).toEqual(all.map((_, i) => i + 1));

  // Speed: within 10 % over some seconds.
  await levers.getByTitle("Type a speed").click();
  await levers.getByLabel(/Speed limit/).fill("20");
  await levers.getByRole("button", { name: "Set" }).click();
  await expect
    .poll(async () =>
      (await signalbox.job(id)).record.attempts[0]?.levers.some(
        ({ value }) => value?.value.case === "speed" && value.value.value.itemsPerSecond === 20,
      ),
    )
    .toBe(true);
  const [from, fromAt] = [(await items(signalbox, id)).length, Date.now()];
  await expect
    .poll(async () => (await items(signalbox, id)).length, { timeout: 30_000 })
    .toBeGreaterThanOrEqual(from + 120);
  const rate = ((await items(signalbox, id)).length - from) / ((Date.now() - fromAt) / 1000);
  expect(rate).toBeGreaterThan(18);
  expect(rate).toBeLessThan(22);

  // Cancel: held for a moment, at once when pressed again.
  await levers.getByRole("button", { name: "Cancel" }).click();
  await levers.getByRole("button", { name: /Cancels in/ }).click();
  await expect(stateWord(page)).toContainText("Canceled");
  expect((await signalbox.job(id)).record.state).toBe(JobState.CANCELED);

  // A marker stands at the line where each took effect.
  const { attempts } = (await signalbox.job(id)).record;
  expect(attempts).toHaveLength(1);
  await log.focus();
  await page.keyboard.press("Home");
  const markers = new Set<string>();
  await expect(async () => {
    for (const text of await log.locator(".row.marker").allTextContents()) markers.add(text);
    await page.keyboard.press("Space");
    expect(markers.size).toBeGreaterThanOrEqual(4);
  }).toPass({ timeout: 30_000, intervals: [50] });
  const words = [...markers].join("\n");
  for (const what of [/paus/i, /resum/i, /20/, /cancel/i]) expect(words).toMatch(what);
  expect(words).toContain(`line ${(stoodAt + linesBefore(await signalbox.text(id), stoodAt)).toLocaleString("en")}`);
});

/** How many lines that are not about a file stand before the line of file `item` + 1. */
function linesBefore(text: Buffer, item: number): number {
  const lines = text.toString().split("\n");
  const at = lines.findIndex((line) => line.startsWith(`file ${(item + 1).toLocaleString("en")} of `));
  return at - item + 1;
}

test("the page says Pausing until the worker's report", async ({ signalbox, page }) => {
  const worker = await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 50 });
  await signalbox.open(page, `/jobs/${id}`);
  await expect(stateWord(page)).toContainText("Running");
  // The worker stands still: the command is stored, and nobody can have applied it.
  await worker.kill("SIGSTOP");
  await page.getByRole("toolbar", { name: "Levers" }).getByRole("button", { name: "Pause" }).click();
  await expect(stateWord(page)).toContainText("Pausing");
  await expect.poll(async () => (await signalbox.job(id)).record.receipts.length).toBe(1);
  await expect(stateWord(page)).toContainText("Pausing");
  expect((await signalbox.job(id)).record.state).toBe(JobState.RUNNING);
  await worker.kill("SIGCONT");
  await expect(stateWord(page)).toContainText("Paused");
});
