import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** What the proxy does with the bytes that pass it. Holds for the connections that there are and for new ones, until another is set. */
export type Behaviour =
  | { readonly mode: "pass" }
  /** Everything comes later by `ms`. */
  | { readonly mode: "delay"; readonly ms: number }
  /** Each direction of each connection carries no more than this. */
  | { readonly mode: "throttle"; readonly bytesPerSecond: number }
  /** Nothing passes, no end either: a network that carries nothing for a while. What waits goes on afterwards. */
  | { readonly mode: "stall" }
  /** Nothing passes in one direction. */
  | { readonly mode: "one-way"; readonly lost: "to-client" | "to-server" }
  /** The connections that there are, and those made meanwhile, are dead for good, and neither side hears of it. */
  | { readonly mode: "half-open" }
  /** Each connection is reset after so many bytes more, both directions together: in the middle of a message. */
  | { readonly mode: "cut"; readonly afterBytes: number }
  /** New connections are refused; those that there are go on. */
  | { readonly mode: "refuse" }
  /** Connections are accepted and reset, those that there are too. */
  | { readonly mode: "reset" };

type Direction = "to-client" | "to-server";

/** Bytes that one direction of a connection holds at most: where nothing passes the sender soon feels it. */
const heldBytes = 256 * 1024;
/** A throttled direction is served so often a second. */
const slicesPerSecond = 20;

/** A TCP proxy in front of one port of this machine that does to connections what networks do. */
export class FaultProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #links = new Set<Link>();
  #behaviour: Behaviour = { mode: "pass" };

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** Opens a proxy in front of `targetPort`, on a port of its own, both on 127.0.0.1. It passes everything. */
  static async open(targetPort: number): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FaultProxy(server, targetPort);
  }

  /** What it does now. */
  get behaviour(): Behaviour {
    return this.#behaviour;
  }

  /** Connections that at least one side holds. */
  get connections(): number {
    return this.#links.size;
  }

  /** Does something else from now on. Resolves when it is in force. */
  async set(behaviour: Behaviour): Promise<void> {
    this.#behaviour = behaviour;
    for (const link of [...this.#links]) link.follow(behaviour);
    if (behaviour.mode === "refuse" && this.#server.listening) {
      // Resolves with the last connection, so it is not waited for: it refuses at once.
      this.#server.close();
    } else if (behaviour.mode !== "refuse" && !this.#server.listening) {
      this.#server.listen(this.port, "127.0.0.1");
      await once(this.#server, "listening");
    }
  }

  /** Resets every connection and listens no more. */
  close(): void {
    if (this.#server.listening) this.#server.close();
    for (const link of [...this.#links]) link.reset();
  }

  #accept(client: Socket): void {
    if (this.#behaviour.mode === "reset") {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ port: this.#targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const link = new Link(client, server, () => this.#links.delete(link));
    this.#links.add(link);
    link.follow(this.#behaviour);
  }
}

/** One connection through the proxy: two sockets, two directions. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  #behaviour: Behaviour = { mode: "pass" };
  #isDead = false;
  #cutAfter = Infinity;
  #changed = Promise.withResolvers<void>();

  constructor(client: Socket, server: Socket, onGone: () => void) {
    this.#client = client;
    this.#server = server;
    void this.#carry(client, server, "to-server");
    void this.#carry(server, client, "to-client");
    // Of a dead connection each side holds its end until it closes it itself.
    let open = 2;
    for (const socket of [client, server]) socket.once("close", () => --open === 0 && onGone());
  }

  follow(behaviour: Behaviour): void {
    this.#behaviour = behaviour;
    if (behaviour.mode === "half-open") this.#isDead = true;
    this.#cutAfter = behaviour.mode === "cut" ? behaviour.afterBytes : Infinity;
    if (behaviour.mode === "reset") this.reset();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  /** Carries one direction from its first byte to its end. */
  async #carry(from: Socket, to: Socket, direction: Direction): Promise<void> {
    const waiting: { bytes: Buffer; atMs: number }[] = [];
    let waitingBytes = 0;
    const state: { end: "open" | "ended" | "broken" } = { end: "open" };
    let wake = Promise.withResolvers<void>();
    const ring = () => {
      wake.resolve();
      wake = Promise.withResolvers<void>();
    };
    from.on("data", (bytes: Buffer) => {
      waiting.push({ bytes, atMs: performance.now() });
      waitingBytes += bytes.length;
      if (waitingBytes >= heldBytes) from.pause();
      ring();
    });
    from.on("end", () => {
      if (state.end === "open") state.end = "ended";
      ring();
    });
    from.on("error", () => (state.end = "broken"));
    from.on("close", () => {
      if (state.end === "open") state.end = "broken";
      ring();
    });
    for (;;) {
      const next = waiting[0];
      if (!next && state.end === "open") {
        await wake.promise;
        continue;
      }
      await this.#gate(direction, next?.atMs ?? 0);
      if (to.destroyed) return;
      if (!next) break;
      // A reset does not wait for what was sent before it.
      if (state.end === "broken" && !this.#isDead) break;
      const taken = this.#slice(next.bytes);
      waitingBytes -= taken.length;
      if (taken.length === next.bytes.length) waiting.shift();
      else waiting[0] = { ...next, bytes: next.bytes.subarray(taken.length) };
      if (waitingBytes < heldBytes) from.resume();
      this.#cutAfter -= taken.length;
      const room = to.write(taken);
      if (this.#cutAfter <= 0) {
        this.reset();
        return;
      }
      if (!room) await Promise.race([once(to, "drain"), once(to, "close")]).catch(() => undefined);
      if (this.#behaviour.mode === "throttle") await delay((1000 * taken.length) / this.#behaviour.bytesPerSecond);
    }
    if (state.end === "broken") to.resetAndDestroy();
    else to.end();
  }

  /** How much of `bytes` goes in one piece. */
  #slice(bytes: Buffer): Buffer {
    if (this.#behaviour.mode === "throttle")
      return bytes.subarray(0, Math.max(1, Math.floor(this.#behaviour.bytesPerSecond / slicesPerSecond)));
    return bytes.subarray(0, this.#cutAfter);
  }

  /** Resolves when bytes that came at `atMs` may pass. */
  async #gate(direction: Direction, atMs: number): Promise<void> {
    for (;;) {
      const { mode } = this.#behaviour;
      const dueMs = this.#behaviour.mode === "delay" ? atMs + this.#behaviour.ms - performance.now() : 0;
      const stands =
        this.#isDead || mode === "stall" || (this.#behaviour.mode === "one-way" && this.#behaviour.lost === direction);
      if (stands) await this.#changed.promise;
      else if (dueMs > 0) await Promise.race([delay(dueMs), this.#changed.promise]);
      else return;
    }
  }
}
