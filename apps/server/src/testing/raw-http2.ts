import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";

// HTTP/2 by hand, frame by frame, for what no client library would send.

/** Frame types (RFC 9113, section 6). */
export const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const endStream = 1;
export const ack = 1;
export const endHeaders = 4;

/** One frame: type, flags, stream, payload. */
export function http2Frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A payload of four bytes. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A block of headers without compression (HPACK literals that are not indexed). */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [Buffer.of(0), literal(name), literal(value)]),
  );
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** The headers of a gRPC call. */
export function grpcHeaders(path: string, token: string, more: Readonly<Record<string, string>> = {}): Buffer {
  return headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "signalbox",
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${token}`,
    ...more,
  });
}

/** What a client begins a connection with (RFC 9113, section 3.4), with the given SETTINGS payload. */
export function preface(settings: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    http2Frame(frameType.settings, 0, 0, settings),
  ]);
}

/** A connection on which nothing is sent but what the test sends and, if it is asked for, answers to pings. */
export class RawHttp2 {
  readonly socket: Socket;
  /** Error code of the GOAWAY that came, if one came. */
  goAway: number | undefined;
  /** Codes of the RST_STREAM frames that came, by stream. */
  readonly resets = new Map<number, number>();
  /** Bytes of DATA that came, and on which streams. */
  dataBytes = 0;
  readonly dataStreams = new Set<number>();
  /** Whether it answers pings: the server cuts who does not. */
  isAlive = false;
  /** Answers to pings that came. */
  pongs = 0;
  /** Whether the connection has ended, by whomever. */
  closed = false;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("close", () => (this.closed = true));
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
  }

  /** Connects and sends the preface with the given SETTINGS payload. */
  static async open(url: string, settings: Uint8Array = new Uint8Array()): Promise<RawHttp2> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname).setNoDelay();
    await once(socket, "connect");
    const raw = new RawHttp2(socket);
    raw.send(preface(settings));
    return raw;
  }

  /** Sends frames or any bytes. */
  send(...bytes: readonly Uint8Array[]): void {
    if (!this.closed) this.socket.write(Buffer.concat(bytes));
  }

  /** Sends the same bytes again and again, as fast as they are taken, until the connection ends or `signal` aborts. Returns how often. */
  async flood(bytes: Uint8Array | ((round: number) => Uint8Array), signal: AbortSignal): Promise<number> {
    let count = 0;
    while (!this.closed && !signal.aborted) {
      const next = typeof bytes === "function" ? bytes(count) : bytes;
      count++;
      if (this.socket.write(next)) await setImmediate();
      else await this.#taken(signal);
    }
    return count;
  }

  close(): void {
    this.socket.destroy();
  }

  /** Resolves when the socket takes more, has ended, or `signal` aborts. */
  #taken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.socket.off("drain", done).off("close", done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.socket.on("drain", done).on("close", done);
      signal.addEventListener("abort", done);
    });
  }

  #take(bytes: Buffer): void {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes;
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      const payload = this.#rest.subarray(9, end);
      const stream = this.#rest.readUInt32BE(5) & 0x7fff_ffff;
      switch (this.#rest.readUInt8(3)) {
        case frameType.data:
          this.dataBytes += payload.length;
          this.dataStreams.add(stream);
          break;
        case frameType.ping:
          if (this.#rest.readUInt8(4) & ack) this.pongs++;
          else if (this.isAlive) this.send(http2Frame(frameType.ping, ack, 0, payload));
          break;
        case frameType.rstStream:
          this.resets.set(stream, payload.readUInt32BE(0));
          break;
        case frameType.goAway:
          this.goAway = payload.readUInt32BE(4);
          break;
      }
      this.#rest = this.#rest.subarray(end);
    }
  }
}
