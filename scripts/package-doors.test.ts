import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { packageFolders } from "./build-packages.ts";

// packages.test.ts installs the packages and needs a registry; what it would find first is found here without one.

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (...path: string[]) => JSON.parse(readFileSync(join(root, ...path), "utf8")) as Record<string, unknown>;

test.each(packageFolders)("every door of %s is built, and is one of the package that people install", (folder) => {
  const { exports = {}, publishConfig } = read(folder, "package.json") as {
    exports?: Record<string, string>;
    publishConfig?: { exports?: Record<string, unknown> };
  };
  const doors = Object.entries(exports).filter(([door]) => !door.endsWith("-for-tests"));
  expect(Object.keys(publishConfig?.exports ?? {})).toEqual(doors.map(([door]) => door));
  expect(read(folder, "tsconfig.build.json")["files"]).toEqual(
    expect.arrayContaining(doors.map(([, source]) => source.replace("./", ""))),
  );
});

test("every module of a thread of the server is built", () => {
  const threads = globSync("src/**/*-thread.ts", { cwd: join(root, "apps/server") }).filter(
    (module) => !module.endsWith("echo-thread.ts"),
  );
  expect(threads.length).toBeGreaterThan(0);
  expect(read("apps/server", "tsconfig.build.json")["files"]).toEqual(expect.arrayContaining(threads));
});
