import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { format } from "prettier";
import { lineClasses } from "./classify.ts";
import type { PartResult } from "./long.ts";

const page = new URL("../../docs/faults.md", import.meta.url);

/** Writes what came of a part of the long form into docs/faults.md, in the place of what stands there of that part. */
export async function writeResult(result: PartResult): Promise<void> {
  const begin = `<!-- last result: ${result.part} -->`;
  const end = `<!-- end: ${result.part} -->`;
  const text = await readFile(page, "utf8");
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/faults.md has no place for '${result.part}'`);
  const written = `${before}${begin}\n\n${describe(result)}\n\n${end}${after}`;
  await writeFile(page, await format(written, { parser: "markdown", printWidth: 120 }));
}

function describe({ did, seed, linesPerSecond, outcomes, failures }: PartResult): string {
  const sum = (figure: (outcome: PartResult["outcomes"][number]) => number) =>
    outcomes.reduce((total, outcome) => total + figure(outcome), 0).toLocaleString("en", { maximumFractionDigits: 0 });
  const readers = [...new Set(outcomes.flatMap(({ verdicts }) => verdicts.map(({ reader }) => reader)))];
  const verdictsOf = (name: string) =>
    outcomes.flatMap(({ verdicts }) => verdicts.filter(({ reader }) => reader === name));
  const rows = readers.map((reader) => {
    const counts = lineClasses.map((name) =>
      verdictsOf(reader)
        .reduce((total, { counts }) => total + counts[name], 0)
        .toLocaleString("en"),
    );
    const broken = verdictsOf(reader).reduce((total, { broken }) => total + broken.length, 0);
    return `| ${[reader, ...counts, String(broken)].join(" | ")} |`;
  });
  const head = ["who read", ...lineClasses, "promises broken"];
  return [
    `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC, commit ${commit()}, seed ${seed}, ${machine()}, ` +
      `${linesPerSecond.toLocaleString("en")} lines a second asked for: ${did}. ${sum(({ lines }) => lines)} lines were printed in ` +
      `${sum(({ seconds }) => seconds)} s; streams of readers broke ${sum(({ breaks }) => breaks)} times.`,
    "",
    `| ${head.join(" | ")} |`,
    `| ${head.map((_, i) => (i === 0 ? "---" : "---:")).join(" | ")} |`,
    ...rows,
    ...failures.map((failure) => `\nA room failed: ${failure}.`),
  ].join("\n");
}

function commit(): string {
  const { stdout } = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: new URL("../..", import.meta.url) });
  return stdout?.toString().trim() || "unknown";
}

function machine(): string {
  const [cpu, ...more] = cpus();
  return `${more.length + 1} cores (${cpu?.model.trim() ?? "unknown"}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}
