import type { Socket } from "node:net";

/**
 * Connections that have not said anything that makes sense yet. There are so many of them at most, and the oldest goes first: whoever
 * opens thousands and says nothing takes no place from those who speak at once.
 */
export class SilentConnections {
  readonly #most: number;
  readonly #onDrop: () => void;
  readonly #sockets = new Set<Socket>();

  /** `onDrop` is called for each that is dropped. */
  constructor(most: number, onDrop: () => void) {
    this.#most = most;
    this.#onDrop = onDrop;
  }

  /** A connection that has just been accepted. */
  add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    if (this.#sockets.size <= this.#most) return;
    const [oldest] = this.#sockets;
    if (!oldest) return;
    this.#sockets.delete(oldest);
    this.#onDrop();
    oldest.destroy();
  }

  /** It has spoken. */
  heard(socket: Socket): void {
    this.#sockets.delete(socket);
  }
}
