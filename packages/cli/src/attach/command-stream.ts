import type { ClientCommand } from "@signalbox/protocol";

/** Commands on their way to the server, in order. A person types them, so that few wait. */
export class CommandStream implements AsyncIterable<ClientCommand> {
  readonly #waiting: ClientCommand[] = [];
  #hasEnded = false;
  #wake: (() => void) | undefined;

  /** Sends a command after those before. */
  write(command: ClientCommand): void {
    if (!this.#hasEnded) this.#waiting.push(command);
    this.#wake?.();
  }

  /** Nothing follows. */
  end(): void {
    this.#hasEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ClientCommand> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next) yield next;
      else if (this.#hasEnded) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
