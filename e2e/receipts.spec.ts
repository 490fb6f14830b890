import type { Page } from "@playwright/test";
import { JobState, ReceiptState, RunMode } from "@signalbox/protocol";
import { expect, test } from "./fixtures.ts";

const lever = (page: Page, name: string) =>
  page.getByRole("toolbar", { name: "Levers" }).getByRole("group", { name: new RegExp(`^${name}`) });
/** The newest command's stations in the timeline. */
const receipt = (page: Page) => page.getByRole("tabpanel").getByRole("list", { name: "Receipt" }).first();

test("a command is followed to its proof and marks log and strip; one that hangs says why and is taken back", async ({
  signalbox,
  page,
}) => {
  await page.setViewportSize({ width: 1440, height: 900 });
  const worker = await signalbox.worker("w1");
  const id = await signalbox.startJob("tunable");
  await signalbox.state(id, JobState.RUNNING);
  await signalbox.open(page, `/jobs/${id}`);
  await expect(page.getByRole("log")).toContainText("10 retries");

  await page.keyboard.press("p");
  await expect(receipt(page)).toContainText(/accepted.*delivered.*\+.*applied.*\+.*proved.*\+/s, { timeout: 30_000 });
  await expect(page.getByRole("log").locator(".row.marker")).toContainText(/paused · applied after .*, at line/);
  await expect(lever(page, "Run")).toContainText("Paused");
  const strip = page.getByRole("slider", { name: "Lines over time" });
  await expect(strip.locator(".post")).toHaveCount(1);
  await expect(strip.locator(".lines")).toHaveAttribute("d", /^M/);

  // The worker's process stands: nothing answers the next command.
  await worker.kill("SIGSTOP");
  await page.keyboard.press("r");
  await expect(lever(page, "Run")).toContainText(/worker w1 has (not answered|been silent) for/);
  await expect(page.getByRole("tabpanel")).toContainText(/Worker w1 has (not answered|been silent) for/i);
  await lever(page, "Run").getByRole("button", { name: "Take back" }).click();
  // It was on its way: nobody can say yet that it never arrived.
  await expect(lever(page, "Run")).toContainText("whether worker w1 had it shows when it answers");
  await expect(page.getByRole("tabpanel")).toContainText(/its lever is back; whether worker w1 had it/i);
  await worker.kill("SIGCONT");
  await expect(receipt(page)).toContainText(/delivered.*(superseded|applied)/s);
  const { receipts } = await signalbox.state(id, JobState.PAUSED);
  expect(receipts.some(({ state }) => state === ReceiptState.WITHDRAWN)).toBe(false);

  // What its worker cannot have is taken back at once.
  await worker.kill("SIGKILL");
  await expect.poll(async () => (await signalbox.jobs.listWorkers({})).vitals[0]?.connected).toBe(false);
  await page.keyboard.press("r");
  await lever(page, "Run").getByRole("button", { name: "Take back" }).click();
  await expect(receipt(page)).toContainText(/accepted.*taken back/s);
  await expect(receipt(page)).not.toContainText("delivered");
});

test("a job that was cancelled is retried with other parameters, and its attempts stand side by side", async ({
  signalbox,
  page,
}) => {
  await page.setViewportSize({ width: 1440, height: 900 });
  await signalbox.worker("w1");
  const id = await signalbox.startJob("tunable");
  await signalbox.state(id, JobState.RUNNING);
  await signalbox.open(page, `/jobs/${id}`);
  await expect(page.getByRole("log")).toContainText("10 retries");

  // From the keyboard: asked, then at once.
  await page.keyboard.press("c");
  await expect(lever(page, "End")).toContainText(/Cancels in \d\ss/);
  await expect(lever(page, "End")).toContainText("10 s to end by itself, then killed");
  await page.keyboard.press("Enter");
  await signalbox.state(id, JobState.CANCELED);
  await page.getByRole("button", { name: "Edit… the parameters and retry" }).click();
  await page
    .getByRole("dialog")
    .getByRole("textbox", { name: /^Retries/ })
    .fill("12");
  await page.getByRole("dialog").getByRole("button", { name: "Retry", exact: true }).click();
  await signalbox.state(id, JobState.RUNNING);
  await expect(page.getByRole("log")).toContainText("12 retries");

  await page.getByRole("button", { name: "Side by side" }).first().click();
  await expect(page).toHaveURL(/compare=newest/);
  const first = page.getByRole("region", { name: "Attempt 1" });
  const second = page.getByRole("region", { name: "Attempt 2" });
  await expect(first.getByRole("log")).toContainText("10 retries");
  await expect(first).toContainText("Canceled");
  await expect(second.getByRole("log")).toContainText("12 retries");
  await expect(second).toContainText("retries 10 → 12");
  await page.getByRole("button", { name: "Back to the log" }).click();
  await expect(page.getByRole("log")).toHaveCount(1);
  await signalbox.run(id, RunMode.CANCEL);
  await signalbox.state(id, JobState.CANCELED);
});

test("the strip leads to any time of the log, by pointer and by keyboard, and holds still while somebody reads", async ({
  signalbox,
  page,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 300 });
  await signalbox.state(id, JobState.RUNNING);
  await expect
    .poll(async () => Number((await signalbox.logs.getHistogram({ jobId: id })).endLine))
    .toBeGreaterThan(1_200);
  await signalbox.open(page, `/jobs/${id}`);
  const strip = page.getByRole("slider", { name: "Lines over time" });
  await expect(strip.locator(".lines")).toHaveAttribute("d", /^M/);
  // While lines still come in, the strip's first bucket may grow wider between the look and the click.
  await expect(async () => {
    await strip.click({ position: { x: 2, y: 40 } });
    await expect(page.getByRole("log").locator(".row.line").first()).toContainText("line 1 of job", { timeout: 5_000 });
  }).toPass();
  const drawn = await strip.locator(".lines").getAttribute("d");
  const at = Number(await strip.getAttribute("aria-valuenow"));
  await strip.press("ArrowRight");
  await expect.poll(async () => Number(await strip.getAttribute("aria-valuenow"))).toBeGreaterThan(at);
  const end = (await signalbox.job(id)).vitals?.lines ?? 0n;
  await expect.poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n).toBeGreaterThan(end + 600n);
  expect(await strip.locator(".lines").getAttribute("d")).toBe(drawn);
  await page.keyboard.press("End");
  await expect(strip.locator(".lines")).not.toHaveAttribute("d", drawn ?? "");
  await signalbox.run(id, RunMode.CANCEL);
  await signalbox.state(id, JobState.CANCELED);
});
