import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { JobState } from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

/** What axe finds serious or worse on the page as it is, in words. */
async function seriousFaults(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page })
    // The pages have no frames; for those axe would open another page each time.
    .setLegacyMode()
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
    .analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ target, failureSummary }) => `${target.join(" ")} ${failureSummary}`).join(" | ")}`,
    );
}

const isStale = (page: Page) =>
  expect(page.getByRole("alert")).toContainText("No word from the server", { timeout: 30_000 });

const states: Record<string, (signalbox: Signalbox, page: Page) => Promise<void>> = {
  "Jobs, empty": async (signalbox, page) => {
    await signalbox.open(page);
  },
  "Jobs, running": async (signalbox, page) => {
    await signalbox.worker("w1");
    for (const type of ["lines", "items", "fails"]) await signalbox.startJob(type);
    await signalbox.open(page);
    await expect(page.getByRole("table")).toContainText("Failed");
  },
  "Jobs, stale": async (signalbox, page) => {
    await signalbox.worker("w1");
    await signalbox.startJob("lines");
    await signalbox.open(page);
    await expect(page.getByRole("table")).toContainText("Running");
    await signalbox.server.kill("SIGKILL");
    await isStale(page);
  },
  "Job, running": async (signalbox, page) => {
    await signalbox.worker("w1");
    const id = await signalbox.startJob("lines");
    await signalbox.state(id, JobState.RUNNING);
    await signalbox.open(page, `/jobs/${id}`);
    await expect(page.getByRole("log")).toContainText("INFO line");
  },
  "Job, every lever and input": async (signalbox, page) => {
    await signalbox.worker("w1");
    const id = await signalbox.startJob("tunable");
    await signalbox.open(page, `/jobs/${id}`);
    await expect(page.getByRole("log")).toContainText("retries");
    await page.keyboard.press("l");
    for (const key of ["ArrowRight", "ArrowDown", "w", "Enter"]) await page.keyboard.press(key);
    await expect(page.getByRole("button", { name: "keep" })).toBeVisible();
    await page.getByRole("tab", { name: "Details" }).click();
  },
  "Job, waits for input": async (signalbox, page) => {
    await signalbox.worker("w1");
    const id = await signalbox.startJob("asks");
    await signalbox.open(page, `/jobs/${id}`);
    await expect(page.getByRole("log")).toContainText("Who are you?");
    await page.keyboard.press("i");
    await page.keyboard.type("Ada");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("log")).toContainText("Hello, Ada.");
  },
  "Job, parameters": async (signalbox, page) => {
    await signalbox.worker("w1");
    const id = await signalbox.startJob("tunable");
    await signalbox.open(page, `/jobs/${id}`);
    await expect(page.getByRole("log")).toContainText("retries");
    await page.keyboard.press("e");
    await page.getByRole("textbox", { name: /^Retries/ }).fill("500");
    await page.getByRole("button", { name: "Set parameters" }).click();
    await expect(page.getByText("Retries must be 100 or less")).toBeVisible();
  },
  "Job, empty": async (signalbox, page) => {
    await signalbox.worker("w1");
    const id = await signalbox.startJob("bytes", { writes: [] });
    await signalbox.state(id, JobState.SUCCEEDED);
    await signalbox.open(page, `/jobs/${id}`);
    await expect(page.getByRole("heading", { name: "bytes" })).toBeVisible();
  },
  "Job, stale": async (signalbox, page) => {
    await signalbox.worker("w1");
    const id = await signalbox.startJob("lines");
    await signalbox.open(page, `/jobs/${id}`);
    await expect(page.getByRole("log")).toContainText("INFO line");
    await signalbox.server.kill("SIGKILL");
    await isStale(page);
  },
  "Workers, empty": async (signalbox, page) => {
    await signalbox.open(page, "/workers");
    await expect(page.getByRole("heading", { name: "No worker has been here yet" })).toBeVisible();
  },
  "Workers, connected, draining and silent": async (signalbox, page) => {
    await signalbox.worker("connected", { SIGNALBOX_TEST_POOL: "cpu" });
    await signalbox.worker("draining", { SIGNALBOX_TEST_POOL: "cpu" });
    const killed = await signalbox.worker("silent");
    await signalbox.startJob("lines");
    await killed.kill("SIGKILL");
    await signalbox.open(page, "/workers");
    await page.getByRole("button", { name: "Drain draining" }).click();
    for (const word of ["Draining", "Silent", "Connected"])
      await expect(page.getByRole("cell", { name: word, exact: true })).toBeVisible();
  },
  "Workers, details": async (signalbox, page) => {
    await signalbox.worker("w1");
    await signalbox.startJob("lines");
    await signalbox.open(page, "/workers?worker=w1");
    await expect(page.getByRole("complementary")).toContainText("Running");
    await page.getByRole("button", { name: "Drain and stop…" }).click();
  },
  "Workers, stale": async (signalbox, page) => {
    await signalbox.worker("w1");
    await signalbox.open(page, "/workers");
    await expect(page.getByRole("table")).toContainText("Connected");
    await signalbox.server.kill("SIGKILL");
    await isStale(page);
  },
};

// The longest file of all: its tests go to whichever browser is free.
test.describe.configure({ mode: "parallel" });

for (const [name, arrange] of Object.entries(states)) {
  test(`${name}: no serious fault in either theme, and none at 360 px`, async ({ signalbox, page }) => {
    test.setTimeout(240_000);
    await arrange(signalbox, page);
    // axe takes seconds for a page: colours and widths are both read, but not each colour at each width.
    for (const { colorScheme, width } of [
      { colorScheme: "light", width: 1440 },
      { colorScheme: "dark", width: 360 },
    ] as const) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      expect(await seriousFaults(page), `${name}, ${colorScheme}, ${width} px`).toEqual([]);
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow, `${name} scrolls sideways at ${width} px`).toBeLessThanOrEqual(0);
    }
  });
}

test("a page whose link was used up says so and names the fix", async ({ signalbox, page }) => {
  await page.goto(`${signalbox.origin}/#code=used-up`);
  await expect(page.getByRole("heading", { name: "This link is used up or has expired" })).toBeVisible();
  await expect(page.getByText("npm run link")).toBeVisible();
  expect(await seriousFaults(page)).toEqual([]);
});

test("a page without a link says that nobody is signed in, and a link that is pasted into its tab opens it", async ({
  signalbox,
  page,
}) => {
  await page.goto(signalbox.origin);
  await expect(page.getByRole("heading", { name: "This browser is not signed in" })).toBeVisible();
  expect(await seriousFaults(page)).toEqual([]);
  // Only the fragment changes: the browser loads nothing by itself.
  await signalbox.open(page);
});
