import { expect, test } from "vitest";
import { runCommand } from "../../../scripts/programs.ts";

// In a process of its own: the flags that are set belong to all of it.
const program = `
import v8 from "node:v8";
import { setTimeout as delay } from "node:timers/promises";
import { Collections, HeapCare } from ${JSON.stringify(new URL("./heap-care.ts", import.meta.url).href)};
const held = () => v8.getHeapStatistics().total_physical_size;
const young = () => v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").physical_space_size;
const atRest = held();
if (process.argv[1] === "cared for") {
  new Collections();
  new HeapCare({ of: "room", everyMs: 100, busyShare: 0.2, worthBytes: 8e6, worthShare: 1.25 });
}
let most = 0;
for (let round = 0; round < 40; round++) {
  let kept = [];
  for (let part = 0; part < 8; part++) {
    for (let i = 0; i < 5_000; i++) kept.push({ i, text: "x" + i });
    most = Math.max(most, young());
    await delay(0);
  }
}
const rushed = held();
const until = performance.now() + 20_000;
while (held() > atRest + 8e6 && performance.now() < until && process.argv[1] === "cared for") await delay(50);
console.log("result " + JSON.stringify({ young: most, rushed: rushed - atRest, kept: held() - atRest }));
process.exit();
`;

async function rush(name: "cared for" | "left alone"): Promise<{ young: number; rushed: number; kept: number }> {
  const child = runCommand(process.execPath, ["--input-type=module", "--eval", program, name], {});
  const [, json] = await child.printed(/^result (.*)$/m);
  return JSON.parse(json ?? "") as { young: number; rushed: number; kept: number };
}

test("what a rush has left behind is given back once it is over, and the young space keeps to its bound", async () => {
  const [cared, alone] = [await rush("cared for"), await rush("left alone")];
  expect(cared.kept).toBeLessThan(8e6);
  expect(cared.young).toBeLessThan(20e6);
  expect(alone.kept).toBeGreaterThan(cared.kept * 2);
  expect(alone.young).toBeGreaterThan(cared.young);
});

// A heap of which all pages have something that stays, where garbage comes slowly.
const fragmented = `
import v8 from "node:v8";
import vm from "node:vm";
import { setTimeout as delay } from "node:timers/promises";
import { HeapCare } from ${JSON.stringify(new URL("./heap-care.ts", import.meta.url).href)};
v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc");
const objects = () => v8.getHeapStatistics().used_heap_size;
let all = Array.from({ length: 400_000 }, (_, i) => ({ i, text: "x" + i }));
collect();
const kept = all.filter((_, i) => i % 20 === 0);
all = undefined;
collect();
await delay(50);
const begin = objects();
new HeapCare({ of: process.argv[1], everyMs: 50, busyShare: 1, worthBytes: 2e6, worthShare: 1 });
const recent = new Array(3_000);
let most = 0;
for (let turn = 0; turn < 600; turn++) {
  for (let i = 0; i < 1_000; i++) recent[Math.floor(Math.random() * 3_000)] = { list: new Array(60).fill(i) };
  await delay(1);
  most = Math.max(most, objects());
}
console.log("result " + JSON.stringify({ grew: most - begin, kept: kept.length }));
process.exit();
`;

async function growth(of: "room" | "objects"): Promise<number> {
  const args = ["--max-semi-space-size=1", "--input-type=module", "--eval", fragmented, of];
  const [, json] = await runCommand(process.execPath, args, {}).printed(/^result (.*)$/m);
  return (JSON.parse(json ?? "") as { grew: number }).grew;
}

test("a thread's garbage is collected though no page of its heap is ever empty", async () => {
  const [objects, room] = [await growth("objects"), await growth("room")];
  expect(objects).toBeLessThan(room * 0.7);
});
