import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { parseAddresses } from "./addresses.ts";

export { parseAddresses };
export { makeFolder } from "@signalbox/protocol/make-folder";

/** Where a worker finds its server, and who it is. What is left out comes from the environment. */
export interface ConnectOptions {
  /**
   * One or more addresses of the server, http:// or https://; several in a list, or in one text with commas between. Each name may stand
   * for several machines: all are tried until one answers. Default: SIGNALBOX_URL, else the server that runs with the data
   * folder SIGNALBOX_DATA (~/.signalbox), else http://127.0.0.1:9090, or there the port SIGNALBOX_WORKER_PORT, which a server that has the same
   * settings listens on.
   */
  readonly url?: string | readonly string[];
  /** Default: SIGNALBOX_TOKEN, else the file SIGNALBOX_TOKEN_FILE, else the file `token` in the data folder SIGNALBOX_DATA (~/.signalbox). */
  readonly token?: string;
  /** Where `token` comes from, for people. Default: its options. */
  readonly tokenFrom?: string;
  /** Stable name; two processes with one name push each other out. Default: SIGNALBOX_WORKER_ID, else POD_NAME, else host and process. */
  readonly workerId?: string;
  /** Default: POD_NAME, POD_NAMESPACE and NODE_NAME as pod_name, namespace and node. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Everything that {@link ConnectOptions} leave open, decided. */
export interface ConnectConfig {
  /** At least one. */
  readonly urls: readonly [string, ...string[]];
  /**
   * The same as it is now; called for each connection, because a server that nobody has named an address of may have come up on another
   * port since. While there is none the newest one that was known stays.
   */
  findUrls(): readonly [string, ...string[]];
  readonly workerId: string;
  readonly metadata: Record<string, string>;
  /** Where the token comes from, for people: a variable, or a file. */
  readonly tokenFrom: string;
  /**
   * Reads the token; called for each connection, because a server that starts for the first time makes it and another one has another.
   * Rejects with a message that says where it was looked for, or with UnusableToken.
   */
  readToken(): Promise<string>;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Decides what the options leave open. Throws TypeError. */
export function readConnectConfig(options: ConnectOptions, env: Env = process.env): ConnectConfig {
  const here = () => serverOf(dataFolder(env))?.workerUrl;
  const given = options.url ?? (env.SIGNALBOX_URL || undefined);
  const urls = parseAddresses(given ?? here() ?? `http://127.0.0.1:${serverPort(env)}`);
  let newest = urls;
  const workerId =
    options.workerId ?? (env.SIGNALBOX_WORKER_ID || env.POD_NAME || `${hostname().slice(0, 80)}:${process.pid}`);
  if (!/^[A-Za-z0-9._:-]{1,100}$/.test(workerId))
    throw new TypeError(`the worker id is ${JSON.stringify(workerId)}: it must be 1 to 100 of A-Z a-z 0-9 . _ : -`);
  return {
    urls,
    findUrls() {
      const url = given === undefined ? here() : undefined;
      return url === undefined ? newest : (newest = parseAddresses(url));
    },
    workerId,
    metadata: { ...(options.metadata ?? kubernetesMetadata(env)) },
    ...tokenSource(options, env),
  };
}

/** The port of a server of this machine that has the same settings. */
function serverPort({ SIGNALBOX_WORKER_PORT: set = "" }: Env): number {
  const port = /^\d{1,5}$/.test(set) ? Number(set) : 0;
  return port >= 1 && port <= 65_535 ? port : 9090;
}

/** What was given as a token cannot be one. The message says where it comes from, and never shows it. */
export class UnusableToken extends Error {
  override readonly name = "UnusableToken";
}

function kubernetesMetadata(env: Env): Record<string, string> {
  const named = { pod_name: env.POD_NAME, namespace: env.POD_NAMESPACE, node: env.NODE_NAME };
  return Object.fromEntries(Object.entries(named).filter((entry): entry is [string, string] => Boolean(entry[1])));
}

function tokenSource(options: ConnectOptions, env: Env): Pick<ConnectConfig, "tokenFrom" | "readToken"> {
  const given = options.token ?? env.SIGNALBOX_TOKEN;
  if (given) {
    const tokenFrom = options.token ? (options.tokenFrom ?? "its options") : "SIGNALBOX_TOKEN";
    // In a promise, so that it is told where all faults of tokens are.
    return { tokenFrom, readToken: () => Promise.resolve().then(() => usable(given, tokenFrom)) };
  }
  const path = env.SIGNALBOX_TOKEN_FILE || join(dataFolder(env), "token");
  const readToken = async () => {
    let text;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      throw new Error(`no token: give one, or set SIGNALBOX_TOKEN, or make ${path} readable`, { cause: error });
    }
    return usable(text.trim(), path);
  };
  return { tokenFrom: path, readToken };
}

/** A token goes out in a header, which does not take every character. */
function usable(token: string, from: string): string {
  if (/^[\x20-\x7e]+$/.test(token)) return token;
  throw new UnusableToken(
    token === ""
      ? `the token from ${from} is empty`
      : `the token from ${from} cannot be one: it holds a line end or another character that no token has`,
  );
}

/**
 * Where the server of a data folder is reached, by workers and by browsers: one that runs, or that was killed and most likely comes back there.
 * Undefined if there is none, or the folder is not ours to read.
 */
export function serverOf(folder: string): { readonly workerUrl: string; readonly operatorUrl: string } | undefined {
  try {
    // What a server writes when it starts, and removes when it stops.
    const file = JSON.parse(readFileSync(join(folder, "server.json"), "utf8")) as Record<string, unknown>;
    const { workerUrl, operatorUrl } = file;
    return typeof workerUrl === "string" && typeof operatorUrl === "string" ? { workerUrl, operatorUrl } : undefined;
  } catch {
    return undefined;
  }
}

/** The server's data folder: SIGNALBOX_DATA, or ~/.signalbox. */
export function dataFolder(env: Env): string {
  const value = env.SIGNALBOX_DATA || "~/.signalbox";
  return resolve(value === "~" || value.startsWith("~/") ? join(homedir(), value.slice(1)) : value);
}
