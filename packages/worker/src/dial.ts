import { lookup } from "node:dns/promises";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { messageOf } from "./errors.ts";

/** An address that has not answered for so long is not waited for, milliseconds. */
export const CONNECT_WITHIN_MS = 3000;
/** The next address is tried beside one that has not answered for so long, milliseconds. */
const nextAfterMs = 250;
const lookupWithinMs = 3000;
const mostEndpoints = 64;
const mostNamed = 3;

/** A connection to one address of a server. */
export interface Dialed {
  readonly socket: Socket;
  /** Which of the addresses it is: its name stays the name, for TLS and for the server. */
  readonly url: string;
  readonly ip: string;
  /** Host and port as people know them; behind a name that has several addresses, which one it is. */
  readonly address: string;
}

/** No address of the server could be connected to. The message says why, for each. */
export class DialFailed extends Error {
  override readonly name = "DialFailed";
}

/** How names are found, and in which order addresses are tried; tests bring their own. */
export interface DialOptions {
  /** All addresses of a name. Rejects if there are none. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly connectWithinMs?: number;
  /** From 0 to 1, excluded. */
  readonly random?: () => number;
}

interface Endpoint {
  readonly url: URL;
  readonly ip: string;
  /** The only one of its name. */
  readonly isOnly: boolean;
}

/**
 * Connects to whichever address of a server answers. All names are resolved anew each time, the addresses are shuffled, and tried one
 * after the other, each with the next one beside it when it does not answer soon. What has failed goes last the next time,
 * the newest failure at the very end.
 */
export class Dialer {
  readonly #urls: readonly string[];
  readonly #options: DialOptions;
  /** Keys of endpoints, newest failure last. */
  readonly #failed = new Set<string>();

  constructor(urls: readonly string[], options: DialOptions = {}) {
    this.#urls = urls;
    this.#options = options;
  }

  /** `urls`: where the server is now. Rejects with DialFailed, or with the reason of `signal` when it aborts. */
  async dial(signal: AbortSignal, urls = this.#urls): Promise<Dialed> {
    const faults: string[] = [];
    const causes: unknown[] = [];
    const fail = (address: string, error: unknown) => {
      faults.push(`${address} ${faultWords(error)}`);
      causes.push(error);
    };
    const endpoints = await this.#endpoints(urls, signal, fail);
    signal.throwIfAborted();
    const dialed = await this.#race(endpoints, signal, fail);
    signal.throwIfAborted();
    if (dialed) return dialed;
    const more = faults.length - mostNamed;
    const words = faults.slice(0, mostNamed).join(", ") + (more > 0 ? ` and ${more} more` : "");
    throw new DialFailed(words, { cause: causes[0] });
  }

  /** No link could be made over that connection: other addresses are tried first the next time. */
  failed({ url, ip }: Dialed): void {
    this.#markFailed(keyOf(new URL(url), ip));
  }

  #markFailed(key: string): void {
    this.#failed.delete(key);
    this.#failed.add(key);
    for (const oldest of this.#failed) {
      if (this.#failed.size <= mostEndpoints) break;
      this.#failed.delete(oldest);
    }
  }

  async #endpoints(
    urls: readonly string[],
    signal: AbortSignal,
    fail: (address: string, error: unknown) => void,
  ): Promise<Endpoint[]> {
    const { resolve = resolveName, random = Math.random } = this.#options;
    const found = await Promise.all(
      urls.map(async (text): Promise<Endpoint[]> => {
        const url = new URL(text);
        const host = hostOf(url);
        try {
          const ips = isIP(host) ? [host] : [...new Set(await soon(resolve(host), signal))];
          return ips.map((ip) => ({ url, ip, isOnly: ips.length === 1 }));
        } catch (error) {
          fail(host, error);
          return [];
        }
      }),
    );
    const shuffled = shuffle(found.flat(), random);
    // What has not failed has rank -1; then comes what failed longest ago. Sorting is stable, so that equals stay shuffled.
    const failures = [...this.#failed];
    const rank = ({ url, ip }: Endpoint) => failures.indexOf(keyOf(url, ip));
    return byTurns(shuffled)
      .sort((a, b) => rank(a) - rank(b))
      .slice(0, mostEndpoints);
  }

  /** The first endpoint that answers; undefined if none does, or when `signal` aborts. */
  #race(
    endpoints: readonly Endpoint[],
    signal: AbortSignal,
    fail: (address: string, error: unknown) => void,
  ): Promise<Dialed | undefined> {
    const { connectWithinMs = CONNECT_WITHIN_MS } = this.#options;
    return new Promise((resolve) => {
      const over = new AbortController();
      const waiting = new Set<Endpoint>();
      let next = 0;
      let timer: NodeJS.Timeout | undefined;
      const finish = (dialed?: Dialed) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        over.abort();
        resolve(dialed);
      };
      const abort = () => finish();
      const tryNext = () => {
        clearTimeout(timer);
        const endpoint = endpoints[next++];
        if (!endpoint) {
          if (waiting.size === 0) finish();
          return;
        }
        waiting.add(endpoint);
        connect(endpoint, connectWithinMs, over.signal).then(
          (socket) => {
            if (over.signal.aborted) socket.destroy();
            else {
              this.#failed.delete(keyOf(endpoint.url, endpoint.ip));
              const { url, ip } = endpoint;
              finish({ socket, ip, url: url.href.replace(/\/+$/, ""), address: addressOf(endpoint) });
            }
          },
          (error: unknown) => {
            if (over.signal.aborted) return;
            waiting.delete(endpoint);
            this.#markFailed(keyOf(endpoint.url, endpoint.ip));
            fail(addressOf(endpoint), error);
            tryNext();
          },
        );
        if (next < endpoints.length) timer = setTimeout(tryNext, nextAfterMs);
      };
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) finish();
      else tryNext();
    });
  }
}

async function resolveName(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** Connects; for https until TLS stands and the other side speaks HTTP/2. */
function connect({ url, ip }: Endpoint, withinMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const host = hostOf(url);
    const to = { host: ip, port: portOf(url), noDelay: true };
    const isTls = url.protocol === "https:";
    const socket = isTls
      ? connectTls({ ...to, ALPNProtocols: ["h2"], ...(isIP(host) ? {} : { servername: host }) })
      : connectTcp(to);
    const done = (error?: Error) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.off("error", done);
      if (!error) {
        resolve(socket);
        return;
      }
      socket.on("error", () => undefined); // It is over: nobody has to hear of it.
      socket.destroy();
      reject(error);
    };
    const abort = () => done(new Error("not needed any more"));
    const timer = setTimeout(() => done(new NoAnswer(withinMs)), withinMs);
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", done);
    socket.once(isTls ? "secureConnect" : "connect", () => {
      const speaksHttp2 = !("alpnProtocol" in socket) || socket.alpnProtocol === "h2";
      done(speaksHttp2 ? undefined : new Error("does not speak HTTP/2 over TLS"));
    });
  });
}

class NoAnswer extends Error {
  readonly code = "ETIMEDOUT";
  constructor(withinMs: number) {
    super(`does not answer within ${withinMs / 1000} s`);
  }
}

/** What `promise` resolves with, unless it takes too long or `signal` aborts. */
async function soon<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const late = AbortSignal.timeout(lookupWithinMs);
  const either = AbortSignal.any([late, signal]);
  const stopped = new Promise<never>((_, reject) => {
    either.addEventListener("abort", () => reject(new NoAnswer(lookupWithinMs)), { once: true });
  });
  return Promise.race([promise, stopped]);
}

function faultWords(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "refuses the connection";
  if (code === "ENOTFOUND") return "is no known name";
  if (code === "EAI_AGAIN") return "cannot be looked up at present";
  if (error instanceof NoAnswer) return error.message;
  return `(${messageOf(error)})`;
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

function portOf(url: URL): number {
  return Number(url.port || (url.protocol === "https:" ? 443 : 80));
}

function keyOf(url: URL, ip: string): string {
  return `${url.href} ${ip}`;
}

function addressOf({ url, ip, isOnly }: Endpoint): string {
  const named = `${url.hostname}:${portOf(url)}`;
  return isOnly ? named : `${named} (${ip})`;
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}

/** IPv4 and IPv6 by turns: where one of them leads nowhere, the other comes soon. */
function byTurns(endpoints: readonly Endpoint[]): Endpoint[] {
  const [first] = endpoints;
  if (!first) return [];
  const isLikeFirst = ({ ip }: Endpoint) => isIP(ip) === isIP(first.ip);
  const others = endpoints.filter((each) => !isLikeFirst(each));
  return endpoints
    .filter(isLikeFirst)
    .flatMap((each) => [each, ...others.splice(0, 1)])
    .concat(others);
}
