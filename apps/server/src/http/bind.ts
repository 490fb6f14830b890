import { once } from "node:events";
import type { Server } from "node:net";
import type { ListenAt } from "../config.ts";

/** The port belongs to another program, or may not be used. The message names the fix. */
export class CannotListen extends Error {
  override readonly name = "CannotListen";
}

/**
 * Lets the servers listen at all addresses of `at`, with the same port, and returns the port. `servers` gives one server for each
 * address. Of loopback, ::1 is left out on machines without it; but if another program has the port there, nothing listens at all,
 * because `localhost` could then mean either. Throws CannotListen; then none of the servers listens.
 * `setting` is the name of the setting to change.
 */
export async function bind(
  at: ListenAt,
  setting: string,
  servers: (count: number) => readonly Server[],
): Promise<number> {
  const hosts = at.host === "loopback" ? ["127.0.0.1", "::1"] : [at.host];
  const all = servers(hosts.length);
  for (let tries = 1; ; tries++) {
    let port = at.port;
    const bound: Server[] = [];
    try {
      for (const [index, host] of hosts.entries()) {
        const server = all[index]!;
        const isListening = await listen(server, host, port, host === "::1" && hosts.length > 1);
        if (!isListening) continue;
        bound.push(server);
        port = (server.address() as { port: number }).port;
      }
      return port;
    } catch (error) {
      for (const server of bound) {
        const closed = once(server, "close");
        server.close();
        await closed;
      }
      const { code } = error as NodeJS.ErrnoException;
      // A port that was free on 127.0.0.1 can be taken on ::1: take another one.
      if (code === "EADDRINUSE" && at.port === 0 && tries < 10) continue;
      throw explain(error as NodeJS.ErrnoException, at, setting);
    }
  }
}

async function listen(server: Server, host: string, port: number, isOptional: boolean): Promise<boolean> {
  try {
    server.listen({ host, port, ipv6Only: host === "::1" });
    await once(server, "listening");
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isOptional && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT")) return false;
    throw error;
  }
}

function explain(error: NodeJS.ErrnoException, at: ListenAt, setting: string): CannotListen {
  const cause = { cause: error };
  if (error.code === "EADDRINUSE") {
    return new CannotListen(
      `Port ${at.port} is used by another program: stop that program, or set ${setting} to another port.`,
      cause,
    );
  }
  if (error.code === "EACCES") {
    return new CannotListen(`Port ${at.port} may not be used by this user: set ${setting} to 1024 or more.`, cause);
  }
  return new CannotListen(`Cannot listen at ${at.host}, port ${at.port}: ${error.message}.`, cause);
}
