import type { Locator, Page } from "@playwright/test";
import { JobState, ReceiptState, RunMode } from "@signalbox/protocol";
import { expect, test } from "./fixtures.ts";

const lever = (page: Page, name: string) =>
  page.getByRole("toolbar", { name: "Levers" }).getByRole("group", { name: new RegExp(`^${name}`) });
/** The newest command's stations in the timeline. */
const receipt = (page: Page) => page.getByRole("tabpanel").getByRole("list", { name: "Receipt" }).first();
/** Waits until the strip of a log that goes on has got another bar: from then on it holds still while somebody reads. */
async function grows(strip: Locator): Promise<void> {
  const bars = async () => (await strip.locator(".lines").getAttribute("d"))?.match(/M/g)?.length ?? 0;
  await expect.poll(bars).toBeGreaterThan(0);
  const before = await bars();
  await expect.poll(bars).toBeGreaterThan(before);
}

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
  await expect(lever(page, "End")).toContainText("10 s to end by itself, then given up");
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
  await grows(strip);
  const first = page.getByRole("log").locator(".row.line").first();
  // The strip's very first moment: a pixel farther to the right is a few milliseconds, and as many lines, into the job.
  await strip.click({ position: { x: 0, y: 40 } });
  await expect(first).toContainText("line 1 of job");
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

test("a drag on the strip leaves the lines of its time, exactly those, and a URL brings them to somebody else", async ({
  signalbox,
  page,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 100 });
  const counted = () => signalbox.logs.getHistogram({ jobId: id });
  await expect.poll(async () => (await counted()).buckets.length, { timeout: 60_000 }).toBeGreaterThan(4);
  await signalbox.open(page, `/jobs/${id}`);
  const strip = page.getByRole("slider", { name: "Lines over time" });
  const bar = async (at: number) => {
    const { buckets, bucketUs, fromUs } = await counted();
    const first = Number(buckets[at]?.firstLine);
    return { first, next: Number(buckets[at + 1]?.firstLine), atUs: Number(fromUs) + at * Number(bucketUs) };
  };
  await grows(strip);
  await page.getByRole("log").focus();
  await page.keyboard.press("Home");
  // Somebody reads: the strip holds still, and its third bar stands where it stands.
  const bars = (await strip.locator(".lines").getAttribute("d"))?.matchAll(/M([\d.]+) [\d.]+h([\d.]+)/g) ?? [];
  const [left = 0, wide = 0] = [...bars][2]?.slice(1).map(Number) ?? [];
  const box = await strip.boundingBox();
  if (!box) throw new Error("the strip is not shown");
  await page.mouse.move(box.x + left + wide * 0.2, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + left + wide * 0.8, box.y + 42, { steps: 5 });
  await page.mouse.up();
  const { first, next } = await bar(2);
  const status = page.getByText(new RegExp(`^Lines ${first} – ${next - 1} of`));
  await expect(status).toBeVisible();
  await expect(page.getByRole("log").locator(".row.line").first()).toContainText(`line ${first} of job`);
  await expect(page.getByText("following paused")).toBeVisible();

  const url = page.url();
  expect(url).toContain("span=");
  await page.goto("about:blank");
  await page.goto(url);
  await expect(status).toBeVisible();
  await expect(page.getByRole("log").locator(".row.line").first()).toContainText(`line ${first} of job`);
  await page.keyboard.press("End");
  await expect(page.getByText("Following", { exact: true })).toBeVisible();
  await expect(page).not.toHaveURL(/span=|attempt=/);
  await signalbox.run(id, RunMode.CANCEL);
  await signalbox.state(id, JobState.CANCELED);
});
