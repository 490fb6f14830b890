import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import {
  ChunkLines,
  ClientCommandSchema,
  type ClientCommand,
  type JobEvent,
  type RunService,
  type StartSchema,
} from "@signalbox/protocol";

type Event = Exclude<JobEvent["event"], { case: undefined }>;
type EventValue<C extends Event["case"]> = Extract<Event, { case: C }>["value"];
type CommandInit = NonNullable<MessageInitShape<typeof ClientCommandSchema>["command"]>;

/** A console spoken by hand, command by command. It says nothing by itself, and notes everything that it hears. */
export class TestConsole implements AsyncDisposable {
  readonly received: JobEvent["event"][] = [];
  /** When each was received, as performance.now(). */
  readonly receivedMs: number[] = [];
  /** Why the stream ended, if not well. */
  failure: unknown;
  isOpen = true;
  readonly #up = createWritableIterable<ClientCommand>();
  readonly #abort = new AbortController();
  readonly #reading: Promise<void>;
  #changed: (() => void)[] = [];

  constructor(client: Client<typeof RunService>, start?: MessageInitShape<typeof StartSchema>, id = "") {
    this.#reading = this.#read(client);
    if (start) this.say({ case: "start", value: start }, id);
  }

  /** Sends a command. */
  say(command: CommandInit, id = ""): void {
    // The stream has ended: `failure` says why.
    void this.#up.write(create(ClientCommandSchema, { id, command })).catch(() => undefined);
  }

  /** Resolves with the first event of a kind that fits, from those received and those to come. */
  async heard<C extends Event["case"]>(
    kind: C,
    fits: (value: EventValue<C>) => boolean = () => true,
  ): Promise<EventValue<C>> {
    for (let from = 0; ;) {
      for (; from < this.received.length; from++) {
        const event = this.received[from];
        if (event?.case !== kind) continue;
        const value = event.value as EventValue<C>;
        if (fits(value)) return value;
      }
      if (!this.isOpen)
        throw this.failure instanceof Error ? this.failure : new Error(`the stream ended before ${kind} came`);
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  /** What was received of a kind. */
  all<C extends Event["case"]>(kind: C): EventValue<C>[] {
    return this.received.flatMap((event) => (event.case === kind ? [event.value as EventValue<C>] : []));
  }

  /** The lines that were received of an attempt, by number; a number that came twice throws, and so does one that leaves a hole untold. */
  lines(attempt = 1): Map<number, string> {
    const lines = new Map<number, string>();
    let next: bigint | undefined;
    for (const log of this.all("log")) {
      if (log.attempt !== attempt) continue;
      if (next !== undefined && log.firstLine - log.skippedLines !== next)
        throw new Error(`line ${next} was next, and ${log.firstLine} less ${log.skippedLines} came`);
      next = log.nextLine;
      for (const { entry } of log.entries) {
        if (entry.case !== "chunk") continue;
        const chunk = new ChunkLines(entry.value);
        for (let index = 0; index < chunk.count; index++) {
          const line = chunk.firstLine + index;
          if (line < Number(log.firstLine)) continue;
          if (lines.has(line) || line >= Number(log.nextLine)) throw new Error(`line ${line} does not belong here`);
          lines.set(line, Buffer.from(chunk.bytes(index)).toString().trimEnd());
        }
      }
    }
    return lines;
  }

  /** Ends its side of the stream. Resolves when the server has ended its own. */
  async close(): Promise<void> {
    this.#up.close();
    await this.#reading;
  }

  /** The connection breaks. */
  async kill(): Promise<void> {
    this.#abort.abort();
    await this.#reading;
  }

  /** Resolves when the stream has ended. */
  async end(): Promise<void> {
    await this.#reading;
  }

  async #read(client: Client<typeof RunService>): Promise<void> {
    try {
      for await (const { event } of client.runJob(this.#up, { signal: this.#abort.signal })) {
        this.received.push(event);
        this.receivedMs.push(performance.now());
        this.#notify();
      }
    } catch (error) {
      this.failure = error;
    } finally {
      this.isOpen = false;
      this.#notify();
    }
  }

  #notify(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
