import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { completionScript } from "./completion-scripts.ts";

// The real bash, with words broken as it breaks them, and a command that answers with all words it was asked for and those that fit.

const breaks = " \t\n\"'@><=;|&(:";
const known = ["box:9090", "box:9091", "ana@box:1", "count=", "a:b=c"];

/** What bash shows after Tab at the end of `line`, of which it has made `words`; and what the command was asked. */
async function completed(line: string, words: readonly string[], wordBreaks = breaks) {
  const folder = await mkdtemp(join(tmpdir(), "completion-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const command = join(folder, "signalbox");
  const answer = `printf '%s|' "$@" >"$ASKED"; for each in ${known.join(" ")}; do
    [[ $each == "\${@: -1}"* ]] && printf '%s\\tabout\\n' "$each"; done`;
  await writeFile(command, `#!/bin/bash\n${answer}\n`);
  await chmod(command, 0o700);
  const list = words.map((word) => `'${word}'`).join(" ");
  const script = `${completionScript("bash")}
    COMP_WORDS=(${list}) COMP_CWORD=${words.length - 1} COMP_LINE='${line}' COMP_WORDBREAKS=$BREAKS
    _signalbox 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"; cat "$ASKED"`;
  const env = { PATH: `${folder}:${process.env["PATH"]}`, ASKED: join(folder, "asked"), BREAKS: wordBreaks };
  const lines = spawnSync("bash", ["-c", script], { env, encoding: "utf8" }).stdout.split("\n");
  return {
    shown: lines.slice(0, -1),
    asked: lines
      .at(-1)
      ?.replace(/^complete\|--\|/, "")
      .replace(/\|$/, "")
      .split("|"),
  };
}

test.each([
  ["a word without any", "drain bo", ["drain", "bo"], ["box:9090", "box:9091"], ["drain", "bo"]],
  ["behind a colon", "drain box:", ["drain", "box", ":"], ["9090", "9091"], ["drain", "box:"]],
  ["within what follows one", "drain box:9", ["drain", "box", ":", "9"], ["9090", "9091"], ["drain", "box:9"]],
  ["behind an @", "drain ana@b", ["drain", "ana", "@b"], ["@box:1"], ["drain", "ana@b"]],
  ["behind several", "set a:b=", ["set", "a", ":", "b", "="], ["c"], ["set", "a:b="]],
  ["a new word", "set k=5 co", ["set", "k", "=", "5", "co"], ["count="], ["set", "k=5", "co"]],
])("bash completes words that it breaks itself: %s", async (_, line, words, shown, asked) => {
  const all = ["signalbox", ...words];
  expect(await completed(`signalbox ${line}`, all)).toEqual({ shown, asked });
});

test("where bash is told not to break words at colons, whole words are shown", async () => {
  const { shown } = await completed("signalbox drain box:9", ["signalbox", "drain", "box:9"], " \t\n\"'><;|&(");
  expect(shown).toEqual(["box:9090", "box:9091"]);
});
