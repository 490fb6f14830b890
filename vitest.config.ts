import { svelte } from "@sveltejs/vite-plugin-svelte";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { chromiumPath } from "./scripts/chromium.ts";

const executablePath = chromiumPath();

/** Tests that leave nothing behind in their process: one process runs many files, and loads what they test once. */
const shared = ["packages/protocol/src/**/*.test.ts", "apps/server/src/**/*.test.ts", "apps/web/src/**/*.test.ts"];
/** Those that measure their own process, or change what it is. */
const alone = ["apps/server/src/heap-care.test.ts", "apps/server/src/loop-gaps.test.ts"];
const never = ["**/*.svelte.test.ts", "**/node_modules/**"];
const inNode = {
  testTimeout: 20_000,
  // Workers of tests leave nothing in this user's folders; tests of the spool have folders of their own.
  env: { SIGNALBOX_SPOOL: "off" },
  // A condition is waited for as long as a loaded machine may need.
  expect: { poll: { timeout: 10_000 } },
};

export default defineConfig({
  test: {
    // As in playwright.config.ts.
    retry: 1,
    // Most tests wait for processes and disks: one file at a time, as a machine of two cores would have it, takes twice as long.
    maxWorkers: 3,
    reporters: ["default", "./scripts/vitest-tally.ts"],
    projects: [
      {
        test: {
          ...inNode,
          name: "node",
          include: [
            "packages/*/src/**/*.test.ts",
            "apps/built-in-worker/src/**/*.test.ts",
            "scripts/**/*.test.ts",
            "e2e/faults/*.test.ts",
            ...alone,
          ],
          exclude: [...never, "packages/protocol/**"],
        },
      },
      { test: { ...inNode, name: "node-shared", include: shared, exclude: [...never, ...alone], isolate: false } },
      {
        plugins: [svelte({ configFile: "apps/web/svelte.config.js" })],
        test: {
          name: "page",
          include: ["apps/web/src/**/*.svelte.test.ts"],
          // axe reads a whole page, on a machine that may have more to do.
          testTimeout: 60_000,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: { ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] },
            }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
    ],
  },
});
