import { spawnSync } from "node:child_process";
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "./http/test-listeners.ts";
import { readServerFile, removeServerFile, writeServerFile } from "./server-file.ts";

const file = {
  pid: process.pid,
  origin: "http://localhost:1",
  operatorUrl: "http://127.0.0.1:1",
  workerUrl: "http://127.0.0.1:2",
};

test("a running server can be found, by its owner only, until it says goodbye", async () => {
  const folder = await temporaryFolder();
  expect(await readServerFile(folder)).toBeUndefined();
  await writeServerFile(folder, file);
  expect(await readServerFile(folder)).toEqual(file);
  expect((await stat(join(folder, "server.json"))).mode & 0o777).toBe(0o600);
  await removeServerFile(folder);
  expect(await readdir(folder)).toEqual([]);
});

test("what a killed server left behind is not believed, and is replaced by the next one", async () => {
  const folder = await temporaryFolder();
  const { pid } = spawnSync(process.execPath, ["--version"]);
  await writeServerFile(folder, { ...file, pid });
  expect(await readServerFile(folder)).toBeUndefined();
  await removeServerFile(folder);
  expect(await readdir(folder)).toEqual(["server.json"]);
  await writeServerFile(folder, file);
  expect(await readServerFile(folder)).toEqual(file);
});

test("half a file is no file", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "server.json"), '{"pid":');
  expect(await readServerFile(folder)).toBeUndefined();
});
