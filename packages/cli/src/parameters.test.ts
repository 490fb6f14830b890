import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseAssignments, readParameters } from "./parameters.ts";

const schema = {
  type: "object",
  properties: {
    folder: { type: "string" },
    depth: { type: "integer" },
    ratio: { type: "number" },
    dry: { type: "boolean" },
    globs: { type: "array", items: { type: "string" } },
    limit: { type: ["integer", "null"] },
    tag: { type: ["string", "null"] },
  },
};

test("a value is what the schema says it is", () => {
  const words = ["folder=12", "depth=3", "ratio=0.5", "dry=true", 'globs=["a","b"]', "limit=null", "tag=x=y"];
  expect(parseAssignments(words, schema)).toEqual({
    folder: "12",
    depth: 3,
    ratio: 0.5,
    dry: true,
    globs: ["a", "b"],
    limit: null,
    tag: "x=y",
  });
});

test("what no schema describes is JSON if it can be, else text", () => {
  expect(parseAssignments(["a=1", "b=text", "c={}", "d=", "__proto__=1"], undefined)).toEqual(
    Object.fromEntries([
      ["a", 1],
      ["b", "text"],
      ["c", {}],
      ["d", ""],
      ["__proto__", 1],
    ]),
  );
});

test.each([
  ["depth=deep", "'depth' takes a whole number, not 'deep'."],
  ["depth=1.5", "'depth' takes a whole number, not '1.5'."],
  ["dry=yes", "'dry' takes true or false, not 'yes'."],
  ["depth", "'depth' is not of the form key=value."],
  ["=1", "'=1' is not of the form key=value."],
])("'%s' is refused in words", (word, message) => {
  expect(() => parseAssignments([word], schema)).toThrow(message);
});

test("parameters come from JSON, a file or standard input", async () => {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-cli-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "p.json");
  await writeFile(file, '{"a": 1}');
  const stdin = async function* () {
    yield '{"b"';
    yield Buffer.from(": 2}");
  };
  expect(await readParameters('{"c": 3}', stdin())).toEqual({ c: 3 });
  expect(await readParameters(file, stdin())).toEqual({ a: 1 });
  expect(await readParameters("-", stdin())).toEqual({ b: 2 });
  await expect(readParameters("[1]".padStart(4, "{"), stdin())).rejects.toThrow("is no JSON");
  await expect(readParameters(join(folder, "none"), stdin())).rejects.toThrow("cannot be read");
});
