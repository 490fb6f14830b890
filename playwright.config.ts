import { defineConfig } from "@playwright/test";
import { chromiumPath } from "./scripts/chromium.ts";

const executablePath = chromiumPath();
/** Floods, kills and measured speeds: what they find out depends on having the machine to themselves. */
const alone = ["flood.spec.ts", "kills.spec.ts", "steer.spec.ts", "two-operators.spec.ts"];

export default defineConfig({
  testDir: "e2e",
  testMatch: "*.spec.ts",
  // Real servers, workers and browsers: `npm test` runs three files of the project `together` at a time, and one of `alone`.
  workers: 1,
  projects: [
    // Movement costs a machine of two cores a tenth of the time; how the pages are with it, the others see.
    { name: "together", testIgnore: alone, use: { contextOptions: { reducedMotion: "reduce" } } },
    { name: "alone", testMatch: alone },
  ],
  fullyParallel: false,
  // A machine that stands still for a moment shall not turn a whole run red; what needed it is named at the end (`unsteady`).
  retries: 1,
  forbidOnly: Boolean(process.env["CI"]),
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: [["list"], ["./scripts/playwright-tally.ts"]],
  use: {
    browserName: "chromium",
    // Recording costs a quarter of the processor: only what failed once is recorded, when it is tried again.
    trace: "on-first-retry",
    launchOptions: {
      ...(executablePath ? { executablePath } : {}),
      args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
    },
  },
});
