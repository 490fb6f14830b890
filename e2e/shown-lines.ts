import { expect, type Page } from "@playwright/test";

/** A loaded machine may need so long for a page of lines, milliseconds. */
const timeout = 30_000;

/** Number of the newest line that the page shows. */
export async function newestShown(page: Page): Promise<number> {
  const number = await page.getByRole("log").locator(".row.line .number").last().textContent();
  return Number(number?.replaceAll(",", ""));
}

/** Scrolls the page's log from line 1 to `last` and returns the text of each line by number. */
export async function readThrough(page: Page, last: number): Promise<Map<number, string>> {
  const log = page.getByRole("log");
  const shown = new Map<number, string>();
  const collect = async () => {
    const rows = await log
      .locator(".row.line:not(.away)")
      .evaluateAll((elements) =>
        elements.map(
          (row) =>
            [row.querySelector(".number")?.textContent ?? "", row.querySelector(".text")?.textContent ?? ""] as const,
        ),
      );
    for (const [number, text] of rows) shown.set(Number(number.replaceAll(",", "")), text);
  };
  await page.setViewportSize({ width: 1440, height: 4000 });
  await log.focus();
  await page.keyboard.press("Home");
  await expect(log.locator(".row.line .number").first()).toHaveText("1", { timeout });
  for (;;) {
    await expect(log.locator(".row.away")).toHaveCount(0, { timeout });
    await collect();
    const newest = await newestShown(page);
    if (newest >= last) break;
    await page.keyboard.press("Space");
    await expect.poll(() => newestShown(page), { timeout }).toBeGreaterThan(newest);
  }
  return shown;
}
