import { randomBytes } from "node:crypto";
import { chmod, link, open, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

/** 256 bits in base64url. */
const secretPattern = /^[A-Za-z0-9_-]{43}$/;

/** A file that should hold a secret and does not. The message says what to do. */
export class BadKeyFile extends Error {
  override readonly name = "BadKeyFile";
}

/**
 * Reads the secret in `folder`/`name`, or makes one: 256 random bits as 43 characters of base64url and a line end, readable by its
 * owner only. Two processes that make it at the same time get the same one. A file that others could read is closed to them.
 * Throws BadKeyFile if the file holds something else.
 */
export async function openKeyFile(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  const existing = await readKeyFile(path);
  if (existing !== undefined) return existing;
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(`${randomBytes(32).toString("base64url")}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    // A link appears whole or not at all, and never replaces a file that another process made in the meantime.
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } finally {
    await unlink(draft);
  }
  const made = await readKeyFile(path);
  if (made === undefined) throw new Error(`${path} vanished while it was made.`);
  return made;
}

/** Reads a secret; undefined if there is no such file. Throws BadKeyFile if it holds something else. */
export async function readKeyFile(path: string): Promise<string | undefined> {
  let text;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const secret = text.trim();
  if (!secretPattern.test(secret)) {
    throw new BadKeyFile(`${path} does not hold a Signalbox secret: delete the file and start again to get a new one.`);
  }
  if (process.platform !== "win32" && ((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600);
  return secret;
}
