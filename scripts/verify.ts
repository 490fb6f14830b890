import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checks } from "./checks.ts";
import { ensureChromium } from "./ensure-chromium.ts";
import { run } from "./run.ts";
import { readTally, tallyFileVariable, type Tallied } from "./tally.ts";

// `npm test`: builds, then runs every check and every test, and counts them all. A step that fails does not keep the next from running.

const folder = mkdtempSync(join(tmpdir(), "signalbox-tally-"));
const file = join(folder, "tests.ndjson");
const steps: Tallied[] = [];
// Tests start hundreds of processes: each finds its modules as the first has compiled them.
process.env["NODE_COMPILE_CACHE"] = join(folder, "compiled");

async function step(name: string, program: string, args: readonly string[]): Promise<boolean> {
  console.log(`\n── ${name}`);
  const { ok, seconds } = await run(program, args, { [tallyFileVariable]: file });
  console.log(`${ok ? "✓" : "✗"} ${name} (${seconds.toFixed(1)} s)`);
  steps.push({ name, outcome: ok ? "passed" : "failed" });
  return ok;
}

/** A runner counts its own tests; it is counted itself only if it failed without a failed test to show for it. */
async function tests(name: string, program: string, args: readonly string[]): Promise<void> {
  const before = readTally(file).filter(({ outcome }) => outcome === "failed").length;
  const ok = await step(name, program, args);
  steps.pop();
  const failedTests = readTally(file).filter(({ outcome }) => outcome === "failed").length - before;
  if (!ok && failedTests === 0) steps.push({ name: `${name} ran to its end`, outcome: "failed" });
}

await step("product is built", "pnpm", ["run", "build"]);
// The linter takes as long as all the others together.
const lanes = [checks.filter(({ isLong }) => isLong), checks.filter(({ isLong }) => !isLong)];
await Promise.all(
  lanes.map(async (lane) => {
    for (const { name, command } of lane) {
      const [program, ...args] = command;
      await step(name, program, args);
    }
  }),
);
if (await ensureChromium()) {
  await tests("unit and integration tests", "vitest", ["run"]);
  await tests("tests in a real browser", "playwright", ["test", "--project", "together", "--workers", "3"]);
  const output = ["--output", "test-results/alone"];
  await tests("floods, faults and speeds", "playwright", ["test", "--project", "alone", ...output]);
  await tests("the oracle and its faults", "node", ["e2e/faults/main.ts", "--short"]);
} else {
  steps.push({ name: "Chromium for the browser tests", outcome: "failed" });
  await tests("unit and integration tests", "vitest", ["run", "--project", "node*"]);
}

const all = [...steps, ...readTally(file)];
rmSync(folder, { recursive: true });
const count = (outcome: Tallied["outcome"]) => all.filter((each) => each.outcome === outcome);
console.log();
for (const { name, reason } of count("skipped")) console.log(`skipped: ${name}: ${reason ?? "no reason given"}`);
// The runners have told it at length, but of a long output often only the end is kept.
const because = ({ errors = [] }: Tallied) => errors.map((error) => `\n${error.replace(/^/gm, "    ")}`).join("");
for (const each of all.filter(({ unsteady }) => unsteady))
  console.log(`unsteady: ${each.name}: passed, but only when it was tried again${because(each)}`);
for (const each of count("failed")) console.log(`failed: ${each.name}${because(each)}`);
console.log(`${count("passed").length} passed, ${count("failed").length} failed, ${count("skipped").length} skipped`);
if (count("failed").length > 0) process.exitCode = 1;
