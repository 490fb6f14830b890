import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listSpools, removeFromSpool } from "./left-spools.ts";
import { folderName, NOBODY } from "./owners.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "left-spools-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("what is left of one attempt is removed without that of others, and the spool with the last of it", async () => {
  const path = join(folder, folderName({ workerId: "w", incarnation: "i".repeat(16), owner: NOBODY }));
  await mkdir(path);
  const files = ["000001-00000001.spool", "000001-00000001.damaged", "000002-00000001.spool"];
  for (const name of files) await writeFile(join(path, name), "");
  const remove = async (prefix: string) => {
    const [spool] = await listSpools(folder);
    return spool && (await removeFromSpool(spool, { prefix, files: [] }));
  };
  expect(await remove("000001")).toBe(true);
  expect(await readdir(path)).toEqual(["000002-00000001.spool"]);
  expect(await remove("000002")).toBe(true);
  expect(await readdir(folder)).toEqual([]);
});

test("a folder that is not there has no spools, and one that cannot be read is an error", async () => {
  expect(await listSpools(join(folder, "none"))).toEqual([]);
  await writeFile(join(folder, "file"), "");
  await expect(listSpools(join(folder, "file"))).rejects.toThrow(/ENOTDIR/);
});
