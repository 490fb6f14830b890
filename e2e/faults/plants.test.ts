import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { plants } from "./plants.ts";

test.each(plants)("'$name' can be planted: each piece of source that it replaces is there once", ({ pieces }) => {
  for (const { file, is } of pieces) {
    const source = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    expect(source.split(is), `${file} holds this once, else correct plants.ts:\n${is}`).toHaveLength(2);
  }
});
