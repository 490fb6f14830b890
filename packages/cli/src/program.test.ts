import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { exitCodes } from "./exit-codes.ts";
import { createProgram } from "./program.ts";

const page = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
const program = createProgram("0", { exitCode: 0 });
const verbs = new Map(program.commands.filter((each) => each.name() !== "complete").map((each) => [each.name(), each]));
const optionsOf = (verb: string) => (verbs.get(verb)?.options ?? []).flatMap(({ long, short }) => [long, short]);

describe("the page on the command line", () => {
  test("names every verb, and none that does not exist", () => {
    const table = page.split("\n").filter((line) => line.startsWith("| `"));
    const verbsTable = table.slice(0, table.findIndex((line) => line.startsWith("| `completion")) + 1);
    const named = verbsTable.flatMap((line) =>
      [...(line.split("|")[1] ?? "").matchAll(/`([a-z-]+)/g)].map(([, verb = ""]) => verb),
    );
    expect(named.sort()).toEqual([...verbs.keys()].sort());
  });

  test("names every exit code", () => {
    const codes = new Set(
      [...page.matchAll(/^\| (\d+) |(\d+): SIGTERM/gm)].map(([, code, other]) => Number(code ?? other)),
    );
    expect([...codes].sort((a, b) => a - b)).toEqual(Object.values(exitCodes).sort((a, b) => a - b));
  });

  test("shows commands that exist, with options that they have", () => {
    const shown = [...page.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block = ""]) => block.split("\n"));
    const commands = shown.flatMap((line) => [...line.matchAll(/signalbox ([a-z-]+)([^|&)]*)/g)]);
    expect(commands.length).toBeGreaterThan(8);
    for (const [whole, verb = "", rest = ""] of commands) {
      expect([...verbs.keys()], whole).toContain(verb);
      const own = rest.split(" -- ")[0] ?? "";
      for (const [, option] of own.matchAll(/ (--?[a-z][a-z-]*)/g)) expect(optionsOf(verb), whole).toContain(option);
    }
  });

  test("names only options that some verb has", () => {
    const all = [...verbs.keys()].flatMap(optionsOf);
    for (const [, option] of page.replaceAll(/```.*?```/gs, "").matchAll(/(--[a-z][a-z-]*)/g))
      expect(all).toContain(option);
  });
});

test("every verb has a line in the help", () => {
  for (const [name, verb] of verbs)
    expect([name, verb.summary()]).toEqual([name, expect.stringMatching(/^[a-z].{7,}$/)]);
});
