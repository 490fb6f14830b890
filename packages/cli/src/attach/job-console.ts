import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ClientCommandSchema, StartSchema, type ClientCommand, type JobEvent, type Start } from "@signalbox/protocol";
import { explain } from "../explain.ts";
import { wasLostOnTheWay, type Room } from "../room.ts";
import { isRefusal, lossWords, type LinkEvent } from "../watch.ts";
import { CommandStream } from "./command-stream.ts";

/** Without any word for so long the link is given up, milliseconds. The server speaks every 5 s. */
const silenceMs = 10_000;
/** The server gives up who says nothing for 30 s. */
const heartbeatMs = 5_000;
const longestWaitMs = 5_000;

type Command = Exclude<ClientCommand["command"], { case: undefined | "start" | "heartbeat" }>;
type CommandInit = Extract<
  NonNullable<MessageInitShape<typeof ClientCommandSchema>["command"]>,
  { case: Command["case"] }
>;

/** What a conversation with a job brings, or word of the link. */
export type ConsoleEvent = { readonly kind: "event"; readonly event: JobEvent["event"] } | LinkEvent;

/**
 * A conversation with one job, over as many streams as it takes: where the link is lost the job is joined again at the next line, and no
 * line is missing and none comes twice. Commands that were not answered are said again; each has one effect.
 */
export class JobConsole {
  readonly #room: Room;
  readonly #start: Start;
  /** Commands that are not answered, by id. */
  readonly #open = new Map<string, ClientCommand>();
  #up: CommandStream | undefined;
  #hasLeft = false;

  /** Joins the job that `start` names, with the first call of {@link events}. */
  constructor(room: Room, start: MessageInitShape<typeof StartSchema>) {
    this.#room = room;
    this.#start = create(StartSchema, start);
  }

  /** Says a command, now or when the link is there again. Returns its id, with which it is answered. */
  say(command: CommandInit): string {
    const said = create(ClientCommandSchema, { id: randomUUID(), command });
    this.#open.set(said.id, said);
    this.#up?.write(said);
    return said.id;
  }

  /** Ends this side: the server ends its own, and cancels the job if that was asked for. */
  leave(): void {
    this.#hasLeft = true;
    this.#up?.end();
  }

  /**
   * What comes, until the job is done, the server has ended its side after {@link leave}, or `signal` aborts. Throws CliError if
   * there is no server at first, and when it refuses.
   */
  async *events(signal: AbortSignal): AsyncGenerator<ConsoleEvent> {
    let awaySinceMs: number | undefined;
    let heard = false;
    for (let failures = 0; !signal.aborted && !(this.#hasLeft && heard); failures++) {
      const stream = new AbortController();
      let silence: NodeJS.Timeout | undefined;
      const listen = () => (silence = setTimeout(() => stream.abort(), silenceMs));
      const up = this.#connect();
      const beat = setInterval(
        () => up.write(create(ClientCommandSchema, { command: { case: "heartbeat", value: {} } })),
        heartbeatMs,
      );
      let reason = "the server ended the stream";
      try {
        const ends = AbortSignal.any([signal, stream.signal]);
        listen();
        for await (const { event } of this.#room.run.runJob(up, { signal: ends, timeoutMs: 0 })) {
          // A reader that takes its time hears nothing meanwhile: that is no silence of the server.
          clearTimeout(silence);
          failures = 0;
          heard = true;
          if (awaySinceMs !== undefined) yield { kind: "live", awayMs: performance.now() - awaySinceMs };
          awaySinceMs = undefined;
          this.#note(event);
          yield { kind: "event", event };
          if (event.case === "done") return;
          listen();
        }
        if (this.#hasLeft) return;
      } catch (error) {
        if (signal.aborted || this.#hasLeft) return;
        // One that stops just now will be there again.
        heard ||= wasLostOnTheWay(error);
        if (!heard || isRefusal(error)) throw explain(error, this.#room.address);
        reason = stream.signal.aborted ? `no word for ${silenceMs / 1000} s` : lossWords(error);
      } finally {
        clearTimeout(silence);
        clearInterval(beat);
        this.#up = undefined;
        up.end();
        stream.abort();
      }
      if (awaySinceMs === undefined) {
        awaySinceMs = performance.now();
        yield { kind: "away", reason };
      }
      const waitMs = Math.min(longestWaitMs, 250 * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #connect(): CommandStream {
    const up = new CommandStream();
    up.write(create(ClientCommandSchema, { command: { case: "start", value: this.#start } }));
    for (const command of this.#open.values()) up.write(command);
    this.#up = up;
    return up;
  }

  /** Learns where to go on. */
  #note(event: JobEvent["event"]): void {
    if (event.case === "log") {
      this.#start.attempt = event.value.attempt;
      this.#start.fromLine = event.value.nextLine;
      this.#start.lastLines = 0;
    } else if (event.case === "state" && this.#start.attempt === 0 && event.value.attempts.length === 0) {
      // Whatever comes first is wanted whole.
      this.#start.attempt = 1;
      this.#start.fromLine = 1n;
    } else if (event.case === "accepted" || event.case === "refused") this.#open.delete(event.value.id);
  }
}
