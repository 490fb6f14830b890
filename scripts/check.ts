import { checks } from "./checks.ts";
import { run } from "./run.ts";

// `pnpm check`: everything that can be said of the sources without running them.
const failed: string[] = [];
for (const { name, command } of checks) {
  const [program, ...args] = command;
  const { ok, seconds } = await run(program, args);
  console.log(`${ok ? "✓" : "✗"} ${name} (${seconds.toFixed(1)} s)`);
  if (!ok) failed.push(name);
}
if (failed.length > 0) process.exitCode = 1;
