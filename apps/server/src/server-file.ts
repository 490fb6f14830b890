import { randomBytes } from "node:crypto";
import { readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Where a running server can be found. `<data>/server.json` while it runs; after a kill it is left behind. */
export interface ServerFile {
  readonly pid: number;
  /** Address to open in a browser, without trailing slash. */
  readonly origin: string;
  /** Address that this machine reaches the operator listener at, without trailing slash. */
  readonly operatorUrl: string;
  /** Address that this machine reaches the worker listener at, without trailing slash. */
  readonly workerUrl: string;
}

const pathIn = (folder: string) => join(folder, "server.json");

/** Writes the file whole or not at all, readable by its owner only. */
export async function writeServerFile(folder: string, file: ServerFile): Promise<void> {
  const draft = `${pathIn(folder)}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
  await rename(draft, pathIn(folder));
}

/** Reads the file; undefined if there is none, it is no such file, or the process that wrote it is gone. */
export async function readServerFile(folder: string): Promise<ServerFile | undefined> {
  let file;
  try {
    file = JSON.parse(await readFile(pathIn(folder), "utf8")) as ServerFile;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return Number.isInteger(file.pid) && isAlive(file.pid) ? file : undefined;
}

/** Removes the file if this process wrote it. */
export async function removeServerFile(folder: string): Promise<void> {
  const file = await readServerFile(folder);
  if (file?.pid === process.pid) await unlink(pathIn(folder));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It lives, but belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
