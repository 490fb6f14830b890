import { createServer, type Server, type Socket } from "node:net";
import type { ListenAt } from "../config.ts";
import { bind, CannotListen } from "./bind.ts";

/** More connections do not wait for a server that starts. */
const mostWaiting = 2_048;

/**
 * A port that takes connections before the server behind it is there: half of a start is loading and opening, and a worker that is refused
 * meanwhile would try again only after its back-off. What they send waits in their sockets, some
 * 64 KB of each at most.
 */
export class EarlyPort {
  readonly #waiting = new Set<Socket>();
  #servers: readonly Server[] = [];
  #take: ((socket: Socket) => void) | undefined;
  /** Why there is no port, if there is none. */
  #failure: CannotListen | undefined;

  /** Takes the port. That it cannot be had is told by {@link serve}, after what is worse. */
  static async take(at: ListenAt, setting: string): Promise<EarlyPort> {
    const port = new EarlyPort();
    try {
      await bind(at, setting, (count) => {
        port.#servers = Array.from({ length: count }, () =>
          createServer({ noDelay: true, keepAlive: true }, (socket) => port.#connected(socket)),
        );
        return port.#servers;
      });
    } catch (error) {
      if (!(error instanceof CannotListen)) throw error;
      port.#failure = error;
    }
    return port;
  }

  /** The port; 0 if there is none. */
  get port(): number {
    return (this.#servers[0]?.address() as { port: number } | null | undefined)?.port ?? 0;
  }

  /** How many connections wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Hands over all connections, those that wait and those to come, and the servers that take them. Throws CannotListen. */
  serve(take: (socket: Socket) => void): readonly Server[] {
    if (this.#failure) throw this.#failure;
    this.#take = take;
    for (const socket of this.#waiting) {
      socket.off("error", ignore);
      take(socket);
    }
    this.#waiting.clear();
    return this.#servers;
  }

  /** Gives the port up, and whoever waits. Does nothing once it was handed over. */
  close(): void {
    if (this.#take) return;
    for (const server of this.#servers) server.close();
    for (const socket of this.#waiting) socket.destroy();
  }

  #connected(socket: Socket): void {
    if (this.#take) {
      this.#take(socket);
      return;
    }
    socket.on("error", ignore);
    if (this.#waiting.size >= mostWaiting) {
      socket.destroy();
      return;
    }
    this.#waiting.add(socket);
    socket.once("close", () => this.#waiting.delete(socket));
  }
}

/** `close` follows. */
function ignore(): void {
  // Whoever gives up while he waits is nobody's concern.
}
