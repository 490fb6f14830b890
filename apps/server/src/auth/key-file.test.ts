import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../http/test-listeners.ts";
import { openKeyFile, readKeyFile } from "./key-file.ts";

test("a secret is made once, is 256 bits long, and only its owner may read it", async () => {
  const folder = await temporaryFolder();
  const secret = await openKeyFile(folder, "token");
  expect(Buffer.from(secret, "base64url")).toHaveLength(32);
  expect(await readFile(join(folder, "token"), "utf8")).toBe(`${secret}\n`);
  expect((await stat(join(folder, "token"))).mode & 0o777).toBe(0o600);
  expect(await openKeyFile(folder, "token")).toBe(secret);
  expect(await openKeyFile(folder, "cookie.key")).not.toBe(secret);
});

test("processes that make it at the same time get the same one and leave nothing behind", async () => {
  const folder = await temporaryFolder();
  const secrets = await Promise.all(Array.from({ length: 20 }, () => openKeyFile(folder, "token")));
  expect(new Set(secrets).size).toBe(1);
  expect(await readdir(folder)).toEqual(["token"]);
});

test("a file that others could read is closed to them", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "token");
  const secret = await openKeyFile(folder, "token");
  await chmod(path, 0o644);
  expect(await readKeyFile(path)).toBe(secret);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("a file that holds something else is an error that says what to do, and stays", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "token");
  await writeFile(path, "hunter2\n");
  await expect(openKeyFile(folder, "token")).rejects.toThrow(
    `${path} does not hold a Signalbox secret: delete the file`,
  );
  expect(await readFile(path, "utf8")).toBe("hunter2\n");
});
