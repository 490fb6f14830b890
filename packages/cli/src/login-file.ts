import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { makeFolder } from "@signalbox/worker/config";
import { CliError, exitCodes } from "./exit-codes.ts";

/** The server that `signalbox login` remembers. */
export interface Login {
  readonly url: string;
  readonly token: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Where it is kept: `signalbox/login.json` in $XDG_CONFIG_HOME or ~/.config. */
export function loginPath(env: Env): string {
  return join(env.XDG_CONFIG_HOME || join(homedir(), ".config"), "signalbox", "login.json");
}

/** What is kept; undefined if nothing is. Throws CliError if it cannot be understood. */
export async function readLogin(env: Env): Promise<Login | undefined> {
  const path = loginPath(env);
  try {
    const { url, token } = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    if (typeof url === "string" && typeof token === "string") return { url, token };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CliError(exitCodes.failed, `${path} cannot be read.`, "Sign in again with: signalbox login", {
      cause: error,
    });
  }
  throw new CliError(exitCodes.failed, `${path} holds no login.`, "Sign in again with: signalbox login");
}

/** Keeps it, whole or not at all, readable by its owner only. Returns where. */
export async function writeLogin(login: Login, env: Env): Promise<string> {
  const path = loginPath(env);
  await makeFolder(dirname(path));
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${JSON.stringify(login, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
  await rename(draft, path);
  return path;
}

/** Forgets it. Returns whether there was any. */
export async function removeLogin(env: Env): Promise<boolean> {
  try {
    await rm(loginPath(env));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
