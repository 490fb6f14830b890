import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommand } from "../../../scripts/programs.ts";
import { temporaryFolder } from "./http/test-listeners.ts";

const program = `
import { readFileSync } from "node:fs";
import { settleAllocator } from ${JSON.stringify(new URL("./allocator.ts", import.meta.url).href)};
settleAllocator();
const isOurs = (entry) => /^(MALLOC_|SIGNALBOX_ALLOCATOR)/.test(entry);
const begun = readFileSync("/proc/self/environ", "utf8").split("\\0").filter(isOurs).sort();
const passedOn = Object.keys(process.env).filter(isOurs);
console.log("result " + JSON.stringify({ pid: process.pid, given: process.argv.slice(2), begun, passedOn }));
`;

/** What a process tells of itself that begins with `env`. */
async function tell(env: Record<string, string>) {
  const file = join(await temporaryFolder(), "program.mjs");
  await writeFile(file, program);
  const child = runCommand(process.execPath, [file, "a b", "ü"], env);
  const [, json = ""] = await child.printed(/^result (.*)$/m);
  return { told: JSON.parse(json) as unknown, pid: child.process.pid };
}

test.skipIf(process.platform !== "linux")(
  "a process begins anew with the settings, under its id, and passes them on to nobody; those of somebody else stay",
  async () => {
    const settings = ["MALLOC_MMAP_THRESHOLD_=131072", "MALLOC_TRIM_THRESHOLD_=262144", "SIGNALBOX_ALLOCATOR=set"];
    const { told, pid } = await tell({});
    expect(told).toEqual({ pid, given: ["a b", "ü"], begun: settings, passedOn: [] });
    const own = await tell({ MALLOC_TRIM_THRESHOLD_: "1" });
    expect(own.told).toMatchObject({ begun: ["MALLOC_TRIM_THRESHOLD_=1"], passedOn: ["MALLOC_TRIM_THRESHOLD_"] });
  },
);
