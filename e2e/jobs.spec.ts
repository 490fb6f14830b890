import type { Page } from "@playwright/test";
import { JobState } from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

// The page of jobs against a real server: filters in the URL, and commands to many that two operators see.

const row = (page: Page, id: string) => page.locator(`tr[data-job="${id}"]`);
const strip = (page: Page) => page.getByRole("region", { name: "Cancel of many jobs" });

/** Three jobs that run and one that waits behind them, all of one label. */
async function fourJobs(signalbox: Signalbox): Promise<string[]> {
  await signalbox.worker("w-1");
  const ids: string[] = [];
  for (const name of ["one", "two", "three"]) {
    const id = await signalbox.startJob("lines", { per_second: 20 }, name);
    await signalbox.state(id, JobState.RUNNING);
    ids.push(id);
  }
  ids.push(await signalbox.startJob("fails", {}, "four"));
  await signalbox.state(ids[3] ?? "", JobState.FAILED);
  return ids;
}

test("a cancel of many is held where all see it: one undoes it, then it is given, and each job is reported", async ({
  signalbox,
  page,
  browser,
}) => {
  const [one = "", two = "", three = "", four = ""] = await fourJobs(signalbox);
  const other = await (await browser.newContext()).newPage();
  await signalbox.open(page);
  await signalbox.open(other);
  for (const id of [one, two, four]) await row(page, id).getByRole("checkbox").check();
  const bar = page.getByRole("region", { name: "Selected jobs" });
  await expect(bar).toContainText("3 selected");
  await expect(bar).toContainText("Cancel skips 1: failed already");

  const ask = async () => {
    await bar.getByRole("button", { name: "Cancel 2…" }).click();
    const sheet = page.getByRole("dialog", { name: "Cancel 3 jobs" });
    await expect(sheet.getByRole("row", { name: "Running gets the command 2" })).toBeVisible();
    await expect(sheet.getByRole("row", { name: "Failed skipped: failed already 1" })).toBeVisible();
    await sheet.getByRole("button", { name: "Cancel 2 jobs" }).click();
  };

  await ask();
  // Who gave it was told how many it will change; to others it says how many it can be.
  await expect(strip(page)).toContainText("cancels 2 of 3 jobs in");
  await expect(strip(other)).toContainText("cancels up to 3 jobs in");
  await strip(other).getByRole("button", { name: "Undo" }).click();
  for (const each of [page, other]) await expect(strip(each)).toContainText("no job has noticed");
  const { record } = await signalbox.job(one);
  expect([record.state, record.receipts.filter(({ bulkId }) => bulkId !== "")]).toEqual([JobState.RUNNING, []]);

  await ask();
  await strip(other).getByRole("button", { name: "Cancel now" }).click();
  for (const id of [one, two]) await signalbox.state(id, JobState.CANCELED);
  for (const each of [page, other]) {
    await expect(row(each, one)).toContainText("Canceled");
    await expect(row(each, three)).toContainText("Running");
    await expect(strip(each).last()).toContainText("accepted by 2 of 3 · 1 skipped");
  }
  await strip(other).last().getByRole("button", { name: "Report" }).click();
  const report = other.getByRole("dialog");
  await expect(report.getByRole("heading", { name: "Accepted 2" })).toBeVisible();
  await expect(report.getByRole("listitem")).toHaveText(["four", "one", "two"]);
  await other.close();
});

test("filter and sort are the URL: another browser that opens it sees the same, with what jobs print", async ({
  signalbox,
  page,
}) => {
  const [one = "", two = "", three = ""] = await fourJobs(signalbox);
  await signalbox.open(page);
  await page.getByRole("button", { name: "Add a filter by type" }).click();
  await page.getByRole("menuitemradio", { name: "lines" }).click();
  await page.getByRole("button", { name: "Job, type" }).click();
  const shown = (on: Page) => on.locator("tr[data-job]").evaluateAll((rows) => rows.map((each) => each.dataset["job"]));
  await expect.poll(() => shown(page)).toEqual([one, three, two]);
  expect(new URL(page.url()).search).toBe("?type=lines&sort=name");
  const other = await page.context().newPage();
  await other.goto(page.url());
  await expect.poll(() => shown(other)).toEqual([one, three, two]);
  await expect(row(other, one).getByRole("img", { name: /lines in the last 5 minutes/ })).toBeVisible();
  await other.getByRole("button", { name: "Remove type lines" }).click();
  await expect.poll(async () => (await shown(other)).length).toBe(4);
});
