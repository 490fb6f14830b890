import { JobState } from "@signalbox/protocol";
import { expect, test } from "./fixtures.ts";

test("a worker that wakes after its attempt was given up writes nothing into the log; what it had stands apart, and how it ended in truth", async ({
  signalbox,
  page,
}) => {
  // A lost attempt can be given up after 45 s: until then its worker is waited for.
  test.setTimeout(180_000);
  const worker = await signalbox.worker("sleepy");
  const id = await signalbox.startJob("lines", { per_second: 200 }, "given-up");
  await expect.poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n).toBeGreaterThan(400n);
  await signalbox.open(page, `/jobs/${id}`);
  await worker.kill("SIGSTOP");
  await page.getByRole("button", { name: "Give up" }).click({ timeout: 100_000 });
  await signalbox.state(id, JobState.FAILED);
  const sealed = await signalbox.text(id);
  const note = page.getByRole("complementary", { name: "After the attempt" });
  await expect(note).toHaveCount(0);

  await worker.kill("SIGCONT");
  await expect(note).toContainText(/[\d,]+\slines? came after the attempt was given up\./, { timeout: 30_000 });
  await expect(note).toContainText(/The worker says that it (failed|was canceled)/, { timeout: 30_000 });
  expect((await signalbox.text(id)).equals(sealed)).toBe(true);

  await note.getByRole("button", { name: "Show them" }).click();
  const late = page.getByRole("log", { name: "Late lines of given-up, attempt 1" });
  const first = sealed.toString().split("\n").length;
  await expect(late.locator(".row.line").last()).toContainText(/INFO line/);
  await page.keyboard.press("Home");
  await expect(late.locator(".row.line").first()).toContainText(`INFO line ${first} of job`);
  const href = await page.getByRole("link", { name: "Download" }).getAttribute("href");
  const file = await page.request.get(`${signalbox.origin}${href}`);
  const all = Buffer.concat([sealed, await file.body()]).toString();
  // The worker's own numbers go on without a gap from where the log was sealed.
  expect(
    all
      .split("\n")
      .slice(0, -1)
      .every((line, index) => line.startsWith(`INFO line ${index + 1} of`)),
  ).toBe(true);
  await page.getByRole("button", { name: "Back to its log" }).click();
  await expect(note).toBeVisible();
});
