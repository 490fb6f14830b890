import { randomUUID } from "node:crypto";
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Page } from "@playwright/test";
import {
  CommandSchema,
  JobState,
  Level,
  LeverOutcome,
  LogLevelValueSchema,
  RunMode,
  type LeverValue,
} from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

const levers = (page: Page) => page.getByRole("toolbar", { name: "Levers" });
const lever = (page: Page, name: string) => levers(page).getByRole("group", { name: new RegExp(`^${name}`) });

/** What the worker has put into effect of a lever. */
async function inEffect(signalbox: Signalbox, id: string, name: LeverValue["value"]["case"]) {
  const { record } = await signalbox.job(id);
  const report = record.attempts.at(-1)?.levers.find(({ value }) => value?.value.case === name);
  return report?.outcome === LeverOutcome.REJECTED ? undefined : report?.value?.value.value;
}

/** Lines of an attempt that hold `text`. */
async function count(signalbox: Signalbox, id: string, text: string): Promise<number> {
  return (await signalbox.text(id)).toString().split(text).length - 1;
}

test("DEBUG for a while, then back by itself: seen in the lines and on the lever", async ({ signalbox, page }) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("tunable");
  await signalbox.open(page, `/jobs/${id}`);
  const level = lever(page, "Log level");
  await expect(page.getByRole("log")).toContainText("in detail");

  // INFO for good: from its marker on no DEBUG line gets a number.
  await page.keyboard.press("l");
  await page.keyboard.press("i");
  await page.keyboard.press("Enter");
  await expect(level).toContainText("INFO");
  await expect(page.getByRole("log").locator(".row.marker")).toContainText("INFO");
  const quiet = await count(signalbox, id, "in detail");
  const atQuiet = await count(signalbox, id, "retries");
  await expect.poll(() => count(signalbox, id, "retries")).toBeGreaterThan(atQuiet + 5);
  expect(await count(signalbox, id, "in detail")).toBe(quiet);

  // DEBUG for some seconds; the menu's shortest time is a minute, so that the command comes from elsewhere and the page shows it.
  const debug = create(LogLevelValueSchema, { level: Level.DEBUG });
  const info = create(LogLevelValueSchema, { level: Level.INFO });
  await signalbox.jobs.sendCommand({
    requestId: randomUUID(),
    jobId: id,
    command: create(CommandSchema, {
      action: { case: "set", value: { value: { case: "logLevel", value: debug } } },
      hold: { durationMs: 6_000n, then: { value: { case: "logLevel", value: info } } },
    }),
  });
  await expect(level).toContainText("DEBUG");
  await expect(level).toContainText(/back to INFO in 0:0\d/);
  await expect.poll(() => count(signalbox, id, "in detail")).toBeGreaterThan(quiet);
  await expect(level).not.toContainText("DEBUG", { timeout: 30_000 });
  await expect(level).toContainText("INFO");
  await expect.poll(() => inEffect(signalbox, id, "logLevel")).toMatchObject({ level: 3 });
  const after = await count(signalbox, id, "in detail");
  const then = await count(signalbox, id, "retries");
  await expect.poll(() => count(signalbox, id, "retries")).toBeGreaterThan(then + 5);
  expect(await count(signalbox, id, "in detail")).toBe(after);

  // For a minute from the menu, and kept.
  await page.keyboard.press("l");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("w");
  await page.keyboard.press("Enter");
  await expect(level).toContainText("WARN");
  await level.getByRole("button", { name: "keep" }).click();
  await expect(level.getByRole("button", { name: "keep" })).toHaveCount(0);
  await expect
    .poll(async () => {
      const { record } = await signalbox.job(id);
      const setting = record.spec?.levers.find(({ value }) => value?.value.case === "logLevel");
      return [setting?.value?.value.value, setting?.hold];
    })
    .toEqual([expect.objectContaining({ level: 4 }), undefined]);
});

test("parameters: taken, stopped in the form, and refused by the worker and written back", async ({
  signalbox,
  page,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("tunable");
  await signalbox.open(page, `/jobs/${id}`);
  await expect(page.getByRole("log")).toContainText("10 retries");
  const parameters = lever(page, "Parameters");
  const retries = page.getByRole("dialog").getByRole("textbox", { name: /^Retries/ });
  const set = page.getByRole("button", { name: "Set parameters" });

  await page.keyboard.press("e");
  await retries.fill("200");
  await set.click();
  await expect(page.getByRole("dialog")).toContainText("Retries must be 100 or less");
  expect((await signalbox.job(id)).record.receipts).toEqual([]);
  await retries.fill("12");
  await set.click();
  await expect(page.getByRole("log")).toContainText("12 retries");
  await expect.poll(() => inEffect(signalbox, id, "parameters")).toMatchObject({ parameters: { retries: 12 } });
  await expect(parameters).toContainText(/applied after/);

  // In bounds for the schema, but not for this worker.
  await page.keyboard.press("e");
  await retries.fill("50");
  await set.click();
  await expect(parameters).toContainText("refused: 45 retries at most. Runs on with retries 12");
  await expect
    .poll(async () => {
      const { record } = await signalbox.job(id);
      const value = record.spec?.levers.find((each) => each.value?.value.case === "parameters")?.value?.value;
      return (value?.value as { parameters?: JsonObject } | undefined)?.parameters?.["retries"];
    })
    .toBe(12);
  const now = await count(signalbox, id, "12 retries");
  await expect.poll(() => count(signalbox, id, "12 retries")).toBeGreaterThan(now);
  expect(await count(signalbox, id, "50 retries")).toBe(0);
});

test("priority reorders two waiting jobs and is refused on a running one", async ({ signalbox, page }) => {
  const worker = await signalbox.worker("w1");
  const running = await signalbox.startJob("lines", { per_second: 5 }, "runs");
  await signalbox.state(running, JobState.RUNNING);
  // With the worker drained, what is started waits.
  await signalbox.jobs.drainWorker({ workerId: "w1" });
  const first = await signalbox.startJob("items", { count: 5 }, "first");
  const second = await signalbox.startJob("items", { count: 5 }, "second");
  await signalbox.open(page, "/?view=waiting");
  const names = () => page.locator("tr[data-job] th a").allTextContents();
  await expect.poll(names).toEqual(["first", "second"]);

  await page.goto(`${signalbox.origin}/jobs/${second}`);
  await expect(lever(page, "Priority")).toContainText("Normal");
  await page.keyboard.press("y");
  await page.getByRole("menuitemradio", { name: /^High \+10/ }).click();
  await expect(lever(page, "Priority")).toContainText("was normal");
  await page.goto(`${signalbox.origin}/?view=waiting`);
  await expect.poll(names).toEqual(["second", "first"]);

  // The queue keeps to it: who is first is given away first.
  await signalbox.jobs.undrainWorker({ workerId: "w1" });
  const [a, b] = [
    await signalbox.state(second, JobState.SUCCEEDED),
    await signalbox.state(first, JobState.SUCCEEDED),
  ].map((record) => record.attempts[0]?.assignedAtUs ?? 0n);
  expect(Number(a)).toBeLessThanOrEqual(Number(b));

  await page.goto(`${signalbox.origin}/jobs/${running}`);
  await expect(lever(page, "Priority")).toContainText("orders the queue; this job has left it");
  const change = lever(page, "Priority").getByRole("button", { name: "Change priority" });
  await expect(change).toHaveAttribute("aria-disabled", "true");
  await expect(
    signalbox.jobs.sendCommand({
      requestId: randomUUID(),
      jobId: running,
      command: create(CommandSchema, {
        action: { case: "set", value: { value: { case: "priority", value: { priority: 1 } } } },
      }),
    }),
  ).rejects.toThrow("Priority orders the queue");
  await signalbox.run(running, RunMode.CANCEL);
  await signalbox.state(running, JobState.CANCELED);
  await worker.kill("SIGTERM");
});

test("input answers a prompt, is said to wait while nobody reads, and ends", async ({ signalbox, page }) => {
  const worker = await signalbox.worker("w1");
  const id = await signalbox.startJob("asks");
  await signalbox.open(page, `/jobs/${id}`);
  const log = page.getByRole("log");
  const input = page.getByRole("form", { name: "Input" });
  // The prompt has no line end, and is there all the same.
  await expect(log.locator(".row.unfinished")).toContainText("Who are you?");
  await page.keyboard.press("i");
  await page.keyboard.type("Ada");
  await page.keyboard.press("Enter");
  await expect(log).toContainText("Hello, Ada.");
  await expect(input.getByRole("status")).toContainText("taken by the worker");

  // A worker that stands still reads nothing: the page says how much waits, and a second line is not lost.
  await worker.kill("SIGSTOP");
  await page.keyboard.type("Grace");
  await page.keyboard.press("Enter");
  await expect(input.getByRole("status")).toContainText("sent, not taken yet (6 bytes wait)");
  await worker.kill("SIGCONT");
  await expect(log).toContainText("Hello, Grace.");

  await input.getByRole("button", { name: "End input" }).click();
  await input.getByRole("button", { name: "End it" }).click();
  await expect(log).toContainText("Nobody is left.");
  await signalbox.state(id, JobState.SUCCEEDED);
  await expect(input).toHaveCount(0);
  expect((await signalbox.text(id)).toString().match(/Hello/g)).toHaveLength(2);
});

test("a progress bar is one row that shows where it is, and the download has all of it", async ({
  signalbox,
  page,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("bar", { steps: 30, every_ms: 120 });
  await signalbox.open(page, `/jobs/${id}`);
  const log = page.getByRole("log");
  await expect(log).toContainText("all parts are here", { timeout: 30_000 });
  const rows = log.locator(".row.line:not(.held) .text");
  await expect(rows).toHaveText(["Fetching parts", `${"█".repeat(30)} 30 of 30`, "all parts are here"]);
  const download = await page.request.get(`${signalbox.origin}/jobs/${id}/attempts/1/log`);
  expect((await download.text()).match(/\r/g)).toHaveLength(30);
});
