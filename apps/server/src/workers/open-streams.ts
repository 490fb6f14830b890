import { Refused } from "../refused.ts";
import type { PushStream } from "./push-stream.ts";

/** The PushLogs streams that are open, so that they can end in order when the server stops. */
export class OpenStreams {
  /** Each with what is to be called when there is something to do. */
  readonly #streams = new Map<PushStream, () => void>();
  #drained: PromiseWithResolvers<void> | undefined;

  /** Adds a stream until {@link delete}; ends it at once if the server stops. */
  add(stream: PushStream, changed: () => void): void {
    this.#streams.set(stream, changed);
    if (this.#drained) stream.end(stopping());
  }

  /** The stream is over. */
  delete(stream: PushStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.#drained?.resolve();
  }

  /** Takes no more lines. Resolves when those that were taken are stored and acknowledged, but after `mostMs` at the latest. */
  async drain(mostMs: number): Promise<void> {
    this.#drained ??= Promise.withResolvers();
    const tooLong = setTimeout(this.#drained.resolve, mostMs);
    for (const [stream, changed] of [...this.#streams]) {
      stream.end(stopping());
      changed();
    }
    if (this.#streams.size === 0) this.#drained.resolve();
    await this.#drained.promise;
    clearTimeout(tooLong);
  }
}

function stopping(): Refused {
  return new Refused("unavailable", "The server is stopping. Open the stream again in a moment.");
}
