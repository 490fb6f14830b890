import { Refused } from "../refused.ts";

/** One delivery of what a dead process left in its spool. */
export interface SpoolStream {
  readonly incarnation: string;
  /** Ends it: the process is not dead. */
  stop: (reason: Refused) => void;
}

/** Who delivers spools now. When the process that wrote one is there again, it delivers itself. */
export class SpoolStreams {
  readonly #streams = new Set<SpoolStream>();

  add(stream: SpoolStream): void {
    this.#streams.add(stream);
  }

  delete(stream: SpoolStream): void {
    this.#streams.delete(stream);
  }

  /** The process is connected. */
  returned(incarnation: string): void {
    for (const stream of this.#streams) if (stream.incarnation === incarnation) stream.stop(isConnected(incarnation));
  }
}

/** Why a spool is not taken. */
export function isConnected(incarnation: string): Refused {
  return new Refused("wrong-state", `The process ${incarnation} is connected: it delivers its lines itself.`);
}
