import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Requests of a connection that wait for the answer to the one before. Browsers send none ahead. */
const mostWaiting = 32;

type Begin = () => void;

/**
 * Puts an order before everything that listens to the server's requests so far: of one connection each request is begun when the one before
 * is answered, and then in a turn of its own. Whoever writes a thousand requests at once would else have all of them begun before anybody
 * else is heard. A connection with too many of them is cut; `onCut` is told.
 */
export function oneAtATime(server: Server, onCut: (address: string | undefined) => void): void {
  const listeners = server.listeners("request") as ((request: IncomingMessage, response: ServerResponse) => void)[];
  /** What waits on each connection that has a request under way. */
  const waiting = new WeakMap<Socket, Begin[]>();
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const own = waiting.get(socket);
    const begin = () => {
      if (!socket.writable) return;
      response.once("close", () => {
        // Of a client that has gone the others are not begun: nothing would tell that they are over.
        const next = !socket.writable ? undefined : waiting.get(socket)?.shift();
        if (next) setImmediate(next);
        else waiting.delete(socket);
      });
      for (const listener of listeners) listener.call(server, request, response);
    };
    // What follows in the packet that had it cut, or behind an answer that was the last.
    if (!socket.writable) return;
    if (!own) {
      waiting.set(socket, []);
      begin();
    } else if (own.length < mostWaiting) {
      own.push(begin);
    } else {
      onCut(socket.remoteAddress);
      socket.destroy();
    }
  });
}
