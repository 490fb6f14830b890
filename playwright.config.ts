import { defineConfig } from "@playwright/test";
import { chromiumPath } from "./scripts/chromium.ts";

const executablePath = chromiumPath();

export default defineConfig({
  testDir: "e2e",
  // Real servers, workers and browsers: one test at a time on a small machine.
  workers: 1,
  fullyParallel: false,
  // A machine that stands still for a moment shall not turn a whole run red; what needed it is named at the end (`unsteady`).
  retries: 1,
  forbidOnly: Boolean(process.env["CI"]),
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: [["list"], ["./scripts/playwright-tally.ts"]],
  use: {
    browserName: "chromium",
    trace: "retain-on-failure",
    launchOptions: {
      ...(executablePath ? { executablePath } : {}),
      args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
    },
  },
});
