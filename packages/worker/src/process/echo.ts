import { fstatSync, write } from "node:fs";
import type { Writable } from "node:stream";

/** So many bytes may wait for a slow terminal or pipe before the program has to wait for it too. */
const roomBytes = 256 * 1024;
/** A file descriptor that somebody else has made non-blocking is tried again after this, milliseconds. */
const againMs = 10;

/** Where something is written to. Resolves when it can take the next piece. Rejects when nobody reads any more. */
type Sink = (bytes: Uint8Array) => Promise<void>;

/**
 * Writes to the local output what the program prints, byte for byte, without ever holding up this process: a terminal stopped with
 * Ctrl-S, or a pager, holds up the program only, as it would without a supervisor. When nobody reads any more (`| head`), the echo ends
 * and the program goes on.
 */
export class Echo {
  readonly #sink: Sink;
  readonly #onClosed: () => void;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #draining: Promise<void> | undefined;
  #closed = false;
  #room: Promise<void> | undefined;
  #makeRoom: () => void = () => undefined;

  /** `onClosed` is called once, when nobody reads any more. */
  constructor(stream: Writable & { readonly fd?: number }, onClosed: () => void = () => undefined) {
    this.#sink = sinkOf(stream);
    this.#onClosed = onClosed;
  }

  /** Takes bytes, which must not be changed any more. Returns a promise while there is no room for more. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#draining ??= this.#drain();
    if (this.#waitingBytes < roomBytes) return undefined;
    this.#room ??= new Promise((resolve) => {
      this.#makeRoom = resolve;
    });
    return this.#room;
  }

  /** Resolves when everything is written, or nobody reads any more. */
  async flush(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    try {
      for (let bytes = this.#waiting.shift(); bytes; bytes = this.#waiting.shift()) {
        await this.#sink(bytes);
        this.#waitingBytes -= bytes.length;
        if (this.#waitingBytes < roomBytes) this.#tellRoom();
      }
    } catch {
      this.#closed = true;
      this.#waiting.length = 0;
      this.#waitingBytes = 0;
      this.#onClosed();
    }
    this.#tellRoom();
    this.#draining = undefined;
  }

  #tellRoom(): void {
    this.#makeRoom();
    this.#room = undefined;
  }
}

/** Whether two streams end in the same terminal, pipe or file, so that what they are given must stay in order. */
export function isSameTarget(a: { readonly fd?: number }, b: { readonly fd?: number }): boolean {
  if (a.fd === undefined || b.fd === undefined) return false;
  try {
    const [first, second] = [fstatSync(a.fd), fstatSync(b.fd)];
    return first.dev === second.dev && first.ino === second.ino;
  } catch {
    return false;
  }
}

/** Node writes to terminals and files synchronously, so that a stopped terminal would stop everything. To pipes it does not. */
function sinkOf(stream: Writable & { readonly fd?: number }): Sink {
  const { fd } = stream;
  // The write that fails says so itself.
  stream.on("error", () => undefined);
  return fd !== undefined && !isPipe(fd) ? (bytes) => writeAll(fd, bytes) : (bytes) => writeTo(stream, bytes);
}

function isPipe(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}

function writeTo(stream: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await writeSome(fd, bytes.subarray(at));
}

function writeSome(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, (error, written) => {
      if (!error) resolve(written);
      else if (error.code === "EAGAIN") setTimeout(() => resolve(0), againMs);
      else reject(error);
    });
  });
}
