import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StoreLocked } from "../store.ts";
import type { Position } from "../store.ts";
import { tempFolder } from "../testing.ts";
import { decodeNumbered, numberedTopics } from "./numbered-entries.ts";
import { errorOf, readAll } from "./store-under-test.ts";
import type { StoreUnderTest } from "./store-under-test.ts";
import { startTalking } from "./talking-process.ts";

const program = fileURLToPath(new URL("./store-process.ts", import.meta.url));

/** What holds when the store's process is killed, and when two processes want the same store. */
export function describeProcesses(engine: StoreUnderTest): void {
  const { module } = engine;
  describe.skipIf(module === undefined)("processes (needs module)", () => {
    const start = (folder: string, task: "hold" | "append") =>
      startTalking(process.execPath, [program, module!, folder, task]);

    test("what was acknowledged is there after kill -9, in order and whole", { timeout: 120_000 }, async () => {
      await using temp = await tempFolder();
      const acknowledged = new Map<string, Position[]>(numberedTopics.map((topic) => [topic, [0]]));
      // How many acknowledgements each round waits for before the kill.
      for (const enough of fc.sample(fc.integer({ min: 1, max: 900 }), { numRuns: 8, seed: 9 })) {
        await using child = start(temp.folder, "append");
        let seen = 0;
        for await (const line of child.lines) {
          const [topic, number, position] = line.split(" ") as [string, string, string];
          if (topic === "open") continue;
          acknowledged.get(topic)![Number(number)] = Number(position);
          if (++seen === enough) child.process.kill("SIGKILL");
        }
        await child.exited;
        expect(child.process.signalCode).toBe("SIGKILL");
        expect(engine.damage?.(temp.folder) ?? []).toEqual([]);
        const store = await engine.open(temp.folder);
        for (const [topic, positions] of acknowledged) {
          const entries = await readAll(store, topic);
          expect(entries.map(({ data }) => decodeNumbered(data))).toEqual(entries.map((_, i) => i + 1));
          expect(entries.map(({ mark }) => mark)).toEqual(entries.map((_, i) => i + 2));
          positions.forEach((position, number) => {
            if (number > 0) expect(entries[number - 1]?.position).toBe(position);
          });
          // What nobody heard of may be there too; the next round goes on behind it.
          entries.forEach(({ position }, i) => (positions[i + 1] = position));
        }
        await store.close();
      }
    });

    test("a second process is refused until the first one is gone, even by kill -9", async () => {
      await using temp = await tempFolder();
      const store = await engine.open(temp.folder);
      {
        await using second = start(temp.folder, "hold");
        const line = await second.said();
        expect(line).toMatch(/^refused StoreLocked /);
        expect(line).toContain(temp.folder);
      }
      expect(await errorOf(engine.open(temp.folder))).toBeInstanceOf(StoreLocked);
      const { id } = store;
      await store.close();
      {
        await using holder = start(temp.folder, "hold");
        expect(await holder.said()).toBe("open");
        const error = await errorOf(engine.open(temp.folder));
        expect(error).toBeInstanceOf(StoreLocked);
        expect(error.message).toContain(temp.folder);
        holder.process.kill("SIGKILL");
        await holder.exited;
        const again = await engine.open(temp.folder);
        expect(again.id).toBe(id);
        await again.close();
      }
    });
  });
}
