import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { plants } from "./plants.ts";

// To be imported before a program (`node --import`): plants the fault that FAULT_PLANT names. A program that loads the file after it has
// changed so that a piece is no longer there, or is there twice, does not start.

const plant = plants.find(({ name }) => name === process.env["FAULT_PLANT"]);
if (!plant) throw new Error("FAULT_PLANT names no fault of e2e/faults/plants.ts");
const root = new URL("../../", import.meta.url);

registerHooks({
  load(url, context, nextLoad) {
    const pieces = plant.pieces.filter(({ file }) => new URL(file, root).href === url);
    if (pieces.length === 0) return nextLoad(url, context);
    let source = readFileSync(fileURLToPath(url), "utf8");
    for (const { file, is, becomes } of pieces) {
      const [before, after, ...more] = source.split(is);
      if (before === undefined || after === undefined || more.length > 0)
        throw new Error(
          `'${plant.name}' cannot be planted: ${file} must hold this once, correct e2e/faults/plants.ts:\n${is}`,
        );
      source = before + becomes + after;
    }
    if (isMainThread) process.stderr.write(`planted: ${plant.name}\n`);
    return { format: "module-typescript", source, shortCircuit: true };
  },
});
