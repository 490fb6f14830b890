import { Bell } from "./bell.ts";

/**
 * Most bytes of chunks on the wire over all streams of a connection. The server's window of a connection is twice that: when its disk is
 * full and it reads none of them, there is still room for reports and heartbeats.
 */
export const WIRE_BYTES = 8 * 1024 * 1024;

/** What the streams of one connection have on the wire together. */
export class Wire {
  /** Rings when there is room again. */
  readonly freed = new Bell();
  readonly #boundBytes: number;
  #bytes = 0;

  constructor(boundBytes: number = WIRE_BYTES) {
    this.#boundBytes = boundBytes;
  }

  /** Bytes that were sent and are not acknowledged. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether another chunk may be sent. */
  get hasRoom(): boolean {
    return this.#bytes < this.#boundBytes;
  }

  /** The part of one stream. */
  open(): WireShare {
    /** What is on the wire, oldest first, each with the number of the line that follows on it. */
    const sent: { readonly nextLine: number; readonly bytes: number }[] = [];
    const give = (count: number) => {
      const wasFull = !this.hasRoom;
      for (const { bytes } of sent.splice(0, count)) this.#bytes -= bytes;
      if (wasFull && this.hasRoom) this.freed.ring();
    };
    return {
      sent: (nextLine, bytes) => {
        sent.push({ nextLine, bytes });
        this.#bytes += bytes;
      },
      acknowledged: (nextLine) => {
        const first = sent.findIndex((each) => each.nextLine > nextLine);
        give(first < 0 ? sent.length : first);
      },
      close: () => give(sent.length),
    };
  }
}

/** What one stream has on the wire. */
export interface WireShare {
  /** A chunk goes, before the line `nextLine`. */
  sent(nextLine: number, bytes: number): void;
  /** All lines below `nextLine` have arrived. */
  acknowledged(nextLine: number): void;
  /** The stream has ended: nothing of it is on the wire. May be called twice. */
  close(): void;
}
