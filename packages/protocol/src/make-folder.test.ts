import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeFolder } from "./make-folder.ts";

async function place(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "make-folder-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test("a folder is made with those that it lies in, for its owner alone, however many make it at the same time", async () => {
  const folder = await place();
  const path = join(folder, "a", "b", "c");
  await Promise.all(Array.from({ length: 20 }, () => makeFolder(path)));
  for (const each of ["a", "a/b", "a/b/c"]) expect((await stat(join(folder, each))).mode & 0o777).toBe(0o700);
  await makeFolder(path);
});

test("where a file is no folder is made", async () => {
  const file = join(await place(), "file");
  await writeFile(file, "");
  await expect(makeFolder(file)).rejects.toThrow(/EEXIST/);
  await expect(makeFolder(join(file, "a", "b"))).rejects.toThrow(/ENOTDIR/);
});

test.runIf(process.platform === "linux")("below /proc none is made, which is said at once", async () => {
  await expect(makeFolder("/proc/x")).rejects.toThrow(/ENOENT/);
  await expect(makeFolder("/proc/x/y/z")).rejects.toThrow(/ENOENT/);
});
