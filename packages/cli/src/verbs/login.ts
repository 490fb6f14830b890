import { readFile } from "node:fs/promises";
import { findAddress, type Address } from "../address.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { removeLogin, writeLogin } from "../login-file.ts";
import { openRoom } from "../room.ts";

export interface LoginOptions {
  readonly tokenStdin?: boolean;
  readonly tokenFile?: string;
}

/** Checks url and token against the server, and keeps them for the next commands of this user. */
export async function login(invocation: Invocation, url: string | undefined, options: LoginOptions): Promise<number> {
  const { out, env } = invocation;
  if (options.tokenStdin && options.tokenFile !== undefined)
    throw usageError("--token-stdin and --token-file exclude each other.");
  const found = await findAddress(url ?? invocation.options.url, env);
  const token = await readToken(found, options);
  if (!/^[\x21-\x7e]+$/.test(token)) throw usageError("The token is empty, or no token: it holds blanks or controls.");
  const room = await openRoom({ ...found, tokenFrom: "this login", readToken: () => Promise.resolve(token) });
  try {
    await room.call("Not signed in", () => room.jobs.listJobTypes({}));
  } finally {
    room.close();
  }
  const path = await writeLogin({ url: found.url, token }, env);
  if (out.json) await out.object({ url: found.url, file: path });
  else await out.line(`Signed in at ${found.url}. ${path} holds the token; signalbox logout forgets it.`);
  return exitCodes.ok;
}

/** Forgets what login kept. */
export async function logout({ out, env }: Invocation): Promise<number> {
  const was = await removeLogin(env);
  if (!out.json) await out.line(was ? "Signed out." : "Nobody was signed in.");
  else await out.object({ signedOut: was });
  return exitCodes.ok;
}

/** Prints a link that signs a browser in, once. */
export async function link(invocation: Invocation, { from }: { readonly from?: string }): Promise<number> {
  const { out, env } = invocation;
  const address = await findAddress(invocation.options.url, env);
  const operatorUrl = from ?? address.operatorUrl;
  if (operatorUrl === undefined)
    throw new CliError(
      exitCodes.noServer,
      `No link: where browsers reach the server at ${address.url} is not known on this machine.`,
      "Say it with: signalbox link --from http://HOST:8080",
    );
  if (!URL.canParse(operatorUrl)) throw usageError(`'${operatorUrl}' is no URL.`);
  const token = await address.readToken();
  let response;
  try {
    response = await fetch(new URL("/auth/link", operatorUrl), {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      redirect: "error",
      signal: AbortSignal.timeout(5_000),
    });
  } catch (error) {
    throw new CliError(exitCodes.noServer, `No link: ${operatorUrl} cannot be reached.`, "", { cause: error });
  }
  if (response.status === 401)
    throw new CliError(
      exitCodes.notAllowed,
      `No link: ${operatorUrl} does not accept the token from ${address.tokenFrom}.`,
    );
  const body: unknown = response.ok ? await response.json().catch(() => undefined) : undefined;
  const url = typeof body === "object" && body !== null && "url" in body ? body.url : undefined;
  if (typeof url !== "string")
    throw new CliError(exitCodes.failed, `No link: ${operatorUrl} answered with HTTP status ${response.status}.`);
  if (out.json) await out.object({ url });
  else await out.line(url);
  return exitCodes.ok;
}

/** The token that is given, typed in, or found as for any other command. */
async function readToken(found: Address, { tokenStdin, tokenFile }: LoginOptions): Promise<string> {
  if (tokenFile !== undefined) {
    try {
      return (await readFile(tokenFile, "utf8")).trim();
    } catch (error) {
      throw usageError(`The token file ${tokenFile} cannot be read: ${(error as Error).message}`, "");
    }
  }
  if (tokenStdin) {
    let text = "";
    for await (const part of process.stdin.setEncoding("utf8")) text += String(part);
    return text.trim();
  }
  try {
    return await found.readToken();
  } catch (error) {
    if (!process.stdin.isTTY) throw error;
    return askForToken();
  }
}

/** Asks at the terminal, without showing what is typed. */
async function askForToken(): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const { Writable } = await import("node:stream");
  process.stderr.write("Token (not shown): ");
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const asking = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return (await asking.question("")).trim();
  } finally {
    asking.close();
    process.stderr.write("\n");
  }
}
