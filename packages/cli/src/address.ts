import { dataFolder, parseAddresses, readConnectConfig, serverOf, UnusableToken } from "@signalbox/worker/config";
import { CliError, exitCodes, usageError } from "./exit-codes.ts";
import { readLogin } from "./login-file.ts";

/** Where the server is that a command speaks to, and what lets it in. */
export interface Address {
  /** All addresses of it, with commas between. */
  readonly url: string;
  readonly urls: readonly [string, ...string[]];
  /** Nobody has named it: it is that of this machine, which may be on another port when it is started anew. */
  readonly isLocal: boolean;
  /** Where browsers reach it, as far as this machine knows; undefined: it does not. */
  readonly operatorUrl: string | undefined;
  /** The token that login stored for it; undefined: it is found as workers find it. */
  readonly storedToken: string | undefined;
  /** Where the token comes from, for people. */
  readonly tokenFrom: string;
  /** Throws CliError with where it was looked for. */
  readonly readToken: () => Promise<string>;
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Finds the server: --url, else SIGNALBOX_URL, else the server of the data folder SIGNALBOX_DATA, else the one that `signalbox login`
 * stored, else the server of ~/.signalbox, else port 9090 (or SIGNALBOX_WORKER_PORT) of this machine. The token that login stored goes to that server only; else
 * the rules of workers hold. Throws CliError.
 */
export async function findAddress(urlOption: string | undefined, env: Env): Promise<Address> {
  const login = await readLogin(env);
  const given = urlOption || env.SIGNALBOX_URL || undefined;
  const local = serverOf(dataFolder(env));
  const here = local?.workerUrl;
  const url = given ?? (env.SIGNALBOX_DATA ? here : (login?.url ?? here));
  const token = env.SIGNALBOX_TOKEN || env.SIGNALBOX_TOKEN_FILE ? undefined : login;
  const stored = token && url !== undefined && isOneServer(url, token.url) ? token.token : undefined;
  let config;
  try {
    const kept = stored ? { token: stored, tokenFrom: "signalbox login" } : {};
    config = readConnectConfig({ ...(url ? { url } : {}), ...kept, workerId: "cli" }, env);
  } catch (error) {
    throw usageError(error instanceof Error ? sentence(error.message) : String(error), "Set --url or SIGNALBOX_URL.");
  }
  const words = config.urls.join(",");
  return {
    url: words,
    urls: config.urls,
    isLocal: stored === undefined && (url === undefined || (!given && url === here)),
    operatorUrl: here && isOneServer(words, here) ? local.operatorUrl : undefined,
    storedToken: stored,
    tokenFrom: config.tokenFrom,
    readToken: async () => {
      try {
        return await config.readToken();
      } catch (error) {
        throw new CliError(
          exitCodes.notAllowed,
          error instanceof UnusableToken
            ? sentence(error.message)
            : `No token for ${words}: ${config.tokenFrom} cannot be read.`,
          "Sign in with: signalbox login URL. Or set SIGNALBOX_TOKEN or SIGNALBOX_TOKEN_FILE.",
          { cause: error },
        );
      }
    },
  };
}

/** Whether all addresses in `urls` are among those of a server that is known by `known`. */
function isOneServer(urls: string, known: string): boolean {
  try {
    const origins = new Set(parseAddresses(known).map((url) => new URL(url).origin));
    return parseAddresses(urls).every((url) => origins.has(new URL(url).origin));
  } catch {
    // What is no address is nobody's; whoever uses it says so.
    return false;
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
