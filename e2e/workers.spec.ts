import type { Page } from "@playwright/test";
import { JobState } from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

const row = (page: Page, id: string) => page.locator(`tr[data-worker="${id}"]`);
const lamp = (page: Page, id: string) => row(page, id).locator("td.state");
const sections = (page: Page, id: string, kind: string) => row(page, id).locator(`.section.${kind}`);

/** The worker that the newest attempt of a job was given to. */
async function workerOf(signalbox: Signalbox, id: string): Promise<string | undefined> {
  return (await signalbox.job(id)).record.attempts.at(-1)?.workerId;
}

/** Starts jobs that run until they are canceled, and waits until they do. */
async function startLines(signalbox: Signalbox, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await signalbox.startJob("lines", { per_second: 10 }, `lines-${i}`));
  for (const id of ids) await signalbox.state(id, JobState.RUNNING);
  return ids;
}

test("a drained worker gets no new job and says so, and gets jobs again when it is undrained", async ({
  signalbox,
  page,
}) => {
  await signalbox.worker("w1", { SIGNALBOX_TEST_POOL: "cpu", POD_NAME: "pod-7", POD_NAMESPACE: "jobs" });
  const [first = ""] = await startLines(signalbox, 1);
  await signalbox.worker("w2", { SIGNALBOX_TEST_POOL: "cpu" });
  await signalbox.open(page, "/workers");
  await expect(lamp(page, "w1")).toHaveText("Connected");
  await expect(page.getByRole("rowheader", { name: /^pool cpu/ })).toContainText(/1 of 16\sslots busy, nobody waits/);

  await page.getByRole("button", { name: "Drain w1" }).click();
  await expect(lamp(page, "w1")).toHaveText("Draining");
  await expect(row(page, "w1")).toContainText(/1\sjob to end · lines-0/);
  await expect(sections(page, "w1", "occupied")).toHaveCount(1);
  await expect(sections(page, "w1", "closed")).toHaveCount(7);
  await expect(page.getByRole("rowheader", { name: /^pool cpu/ })).toContainText(/0 of 8\sslots busy.*1 draining/);
  const others = await startLines(signalbox, 4);
  for (const id of others) expect(await workerOf(signalbox, id)).toBe("w2");
  await expect(sections(page, "w2", "occupied")).toHaveCount(4);
  expect((await signalbox.job(first)).record.state).toBe(JobState.RUNNING);

  // What was asked outlives the server; the worker comes back by itself.
  await signalbox.server.kill("SIGKILL");
  await signalbox.start();
  await expect(page.locator("header .link")).toHaveText("Live", { timeout: 30_000 });
  await expect(lamp(page, "w1")).toHaveText("Draining", { timeout: 30_000 });
  await page.getByRole("button", { name: "Undrain w1" }).click();
  await expect(lamp(page, "w1")).toHaveText("Connected");
  await expect(lamp(page, "w2")).toHaveText("Connected", { timeout: 30_000 });
  // It has the most free slots.
  const [next = ""] = await startLines(signalbox, 1);
  expect(await workerOf(signalbox, next)).toBe("w1");

  await page.getByRole("link", { name: "w1", exact: true }).click();
  const details = page.getByRole("complementary", { name: "Worker w1" });
  await expect(details).toContainText("pod_name pod-7", { useInnerText: true });
  await details.getByRole("link", { name: "lines-0" }).first().click();
  await page.getByRole("link", { name: "w1", exact: true }).filter({ visible: true }).click();
  await expect(details).toBeVisible();
  expect(new URL(page.url()).search).toBe("?worker=w1");
});

test("a worker that stands still is silent, then lost, and one that was killed too, each with its clock; both can come back", async ({
  signalbox,
  page,
}) => {
  test.setTimeout(120_000);
  const stopped = await signalbox.worker("stopped");
  const [held = ""] = await startLines(signalbox, 1);
  const killed = await signalbox.worker("killed");
  await signalbox.open(page, "/workers");
  await expect(lamp(page, "killed")).toHaveText("Connected");
  await stopped.kill("SIGSTOP");
  await killed.kill("SIGKILL");
  await expect(row(page, "killed")).toContainText(/Silent.*link closed, heard \d+\ss ago, lost in \d+\ss/);
  // Its connection answers no ping: the server has closed it by then.
  await expect(row(page, "stopped")).toContainText(/Silent.*link closed, heard \d+\ss ago, lost in \d+\ss · lines-0/, {
    timeout: 30_000,
  });
  expect((await signalbox.job(held)).record.state).toBe(JobState.RUNNING);
  for (const id of ["stopped", "killed"])
    await expect(row(page, id)).toContainText(/Lost.*lost for \d+\ss, since \d\d:\d\d:\d\d/, { timeout: 30_000 });
  await expect(sections(page, "stopped", "lost")).toHaveCount(1);
  await expect(page.getByRole("rowheader", { name: /^No pool/ })).toContainText(
    /no slot is open, nobody waits · 2 lost/,
  );
  await expect(page).toHaveTitle(/2 silent or lost/);

  await stopped.kill("SIGCONT");
  await expect(lamp(page, "stopped")).toHaveText("Connected", { timeout: 30_000 });
  await expect(sections(page, "stopped", "occupied")).toHaveCount(1);
  await signalbox.worker("killed");
  await expect(lamp(page, "killed")).toHaveText("Connected");
  await page.getByRole("link", { name: "killed", exact: true }).click();
  await expect(page.getByRole("complementary")).toContainText("2, restarted once");
});

test("a worker that is asked to stop gives its jobs back, leaves and is folded away", async ({ signalbox, page }) => {
  const worker = await signalbox.worker("w1");
  const [id = ""] = await startLines(signalbox, 1);
  await signalbox.worker("w2");
  await signalbox.open(page, "/workers?worker=w1");
  const details = page.getByRole("complementary", { name: "Worker w1" });
  await details.getByRole("button", { name: "Drain and stop…" }).click();
  await expect(details).toContainText(/This ends the process\. 1\sjob is released and queues again\./);
  await details.getByRole("button", { name: "Drain and stop", exact: true }).click();
  await expect(details).toContainText("Left", { timeout: 30_000 });
  await expect.poll(() => worker.process.exitCode, { timeout: 30_000 }).toBe(0);
  await expect.poll(() => workerOf(signalbox, id), { timeout: 30_000 }).toBe("w2");
  await signalbox.state(id, JobState.RUNNING);
  await expect(row(page, "w1")).toHaveCount(0);
  await page.getByRole("button", { name: "Show" }).click();
  await expect(lamp(page, "w1")).toHaveText("Left");
});
