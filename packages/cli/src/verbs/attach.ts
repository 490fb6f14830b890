import { toJson } from "@bufbuild/protobuf";
import { JobEventSchema, Level, type ConsoleLog, type JobEvent, type JobRecord } from "@signalbox/protocol";
import { exact, plural } from "@signalbox/protocol/format";
import { Bottom } from "../attach/bottom.ts";
import { JobConsole } from "../attach/job-console.ts";
import { Keyboard } from "../attach/keyboard.ts";
import { Typing, type Key } from "../attach/keys.ts";
import { statusRow } from "../attach/status-row.ts";
import { Steering, type Seen } from "../attach/steering.ts";
import { endWords } from "../end-words.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { LogPrinter } from "../log-printer.ts";
import { outcomeCode } from "../outcome-code.ts";
import { resolveJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { linkWords } from "../watch.ts";

export interface AttachOptions {
  readonly from?: number;
  readonly tail?: number;
  readonly rate?: number;
  readonly raw?: boolean;
  readonly timestamps?: boolean;
  /** Commander's name for --no-log. */
  readonly log?: boolean;
  readonly cancelOnClose?: boolean;
}

/** Lines before the end that are shown of a job that is joined. */
const defaultTail = 10;
const redrawMs = 250;

/** Joins a job, shows its log and progress, and steers it with keys, until it has ended or is left. */
export async function attach(invocation: Invocation, ref: string, options: AttachOptions): Promise<number> {
  if (options.from !== undefined && options.tail !== undefined)
    throw usageError("--from and --tail exclude each other.");
  const room = await invocation.room();
  const { job } = await resolveJob(room, ref);
  return attachTo(invocation, room, job, options);
}

/** The same for a job that is found already; `fromStart`: from its first line on. */
export async function attachTo(
  invocation: Invocation,
  room: Room,
  job: JobRecord,
  options: AttachOptions,
  fromStart = false,
): Promise<number> {
  const { out } = invocation;
  if (options.raw && (out.json || options.timestamps))
    throw usageError("--raw prints the exact bytes: it goes with neither --json nor --timestamps.");
  const { from, tail = defaultTail, rate, cancelOnClose = false } = options;
  const console = new JobConsole(room, {
    jobId: job.id,
    cancelOnClose,
    withoutLog: options.log === false,
    ...(from === undefined ? { lastLines: tail } : { fromLine: BigInt(from) }),
    ...(fromStart ? { attempt: 1, fromLine: 1n } : {}),
    ...(rate === undefined ? {} : { rate: { eventsPerSecond: rate } }),
  });
  const after = cancelOnClose ? "The job is canceled" : "The job goes on";
  invocation.interruptedNote = `${after}: signalbox job ${job.id}`;
  const view = new View(invocation, room, console, job, options);
  try {
    return await view.run();
  } finally {
    await view.end();
  }
}

/** One attachment: what is on the terminal, and what is typed there. */
class View {
  readonly #invocation: Invocation;
  readonly #room: Room;
  readonly #console: JobConsole;
  readonly #bottom: Bottom;
  readonly #steering: Steering;
  readonly #typing = new Typing(() => !this.#isAway && !this.#takesNoInput);
  readonly #keyboard = new Keyboard({
    onTyped: (text) => this.#typedIn(text),
    onResumed: () => void this.#bottom.reveal().catch(() => undefined),
  });
  readonly #options: AttachOptions;
  #seen: Seen;
  #printer: LogPrinter | undefined;
  #attempt = 0;
  #typed: string | undefined;
  #isAway = false;
  /** Jobs of its type take none, as far as a worker offers the type. */
  #takesNoInput = false;
  #left: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(invocation: Invocation, room: Room, console: JobConsole, job: JobRecord, options: AttachOptions) {
    this.#invocation = invocation;
    this.#room = room;
    this.#console = console;
    this.#bottom = new Bottom(invocation.out);
    this.#steering = new Steering(console, (text) => this.#bottom.note(text));
    this.#seen = { job, vitals: undefined };
    this.#options = options;
  }

  /** Resolves with the exit code: the job's outcome, or how it was left. */
  async run(): Promise<number> {
    const { out, signal } = this.#invocation;
    // Without a terminal on both sides nobody sees what keys do.
    if (process.stdin.isTTY && this.#bottom.isLive) {
      this.#keyboard.open();
      void this.#learnType();
    }
    if (this.#bottom.isLive) this.#timer = setInterval(() => void this.#redraw().catch(() => undefined), redrawMs);
    for await (const each of this.#console.events(signal)) {
      if (each.kind !== "event") {
        this.#isAway = each.kind === "away";
        this.#bottom.note(linkWords(each));
        if (this.#isAway) this.#steering.away();
        continue;
      }
      const { event } = each;
      this.#steering.heard(event);
      await this.#show(event);
      if (event.case !== "done") continue;
      await this.end();
      if (!out.json) out.note(endWords(this.#seen.job));
      return outcomeCode(this.#seen.job);
    }
    signal.throwIfAborted();
    if (this.#left === undefined) throw new CliError(exitCodes.noServer, "The server ended the conversation.");
    await this.end();
    out.note(this.#invocation.interruptedNote);
    return this.#left;
  }

  /** Gives the terminal back. May be called twice. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#keyboard.close();
    await this.#printer?.end();
    await this.#bottom.end();
  }

  async #learnType(): Promise<void> {
    // Without an answer a line can be typed, and the server says what is wrong with it.
    const answer = await this.#room.jobs.listJobTypes({}).catch(() => undefined);
    const offer = answer?.types.find(({ type }) => type?.name === this.#seen.job.type);
    this.#takesNoInput = offer?.type?.takesInput === false;
  }

  async #show(event: JobEvent["event"]): Promise<void> {
    const { json } = this.#bottom;
    switch (event.case) {
      case "log":
        await this.#showLines(event.value);
        return;
      case "state":
        this.#seen = { ...this.#seen, job: event.value };
        break;
      case "progress":
        this.#seen = { ...this.#seen, vitals: event.value };
        break;
      case "done":
        this.#seen = { job: event.value.job ?? this.#seen.job, vitals: event.value.progress };
        break;
      case "heartbeat":
        return;
      case "accepted":
      case "refused":
      case "input":
      case undefined:
    }
    if (json) await this.#bottom.object(toJson(JobEventSchema, { $typeName: JobEventSchema.typeName, event }));
  }

  async #showLines({ attempt, entries, firstLine, skippedLines }: ConsoleLog): Promise<void> {
    const { out } = this.#invocation;
    if (this.#attempt !== attempt) {
      await this.#printer?.end();
      if (this.#attempt > 0 && !out.json) this.#bottom.note(`Attempt ${attempt} begins.`);
      this.#attempt = attempt;
      const { raw = false, timestamps = false } = this.#options;
      const format = { raw, timestamps, level: Level.UNSPECIFIED };
      this.#printer = new LogPrinter(this.#bottom, format, Number(firstLine - skippedLines));
    }
    const printer = this.#printer;
    if (!printer) return;
    if (skippedLines > 0n) {
      await printer.end();
      const from = firstLine - skippedLines;
      if (out.json) await out.object({ attempt, skippedLines: String(skippedLines), firstLine: String(from) });
      else
        this.#bottom.note(
          `── ${plural(Number(skippedLines), "line")} from ${exact(Number(from))} on left out: ` +
            `signalbox logs ${this.#seen.job.id} --attempt ${attempt} --from ${from} --lines ${skippedLines}`,
        );
      printer.nextLine = Number(firstLine);
    }
    const worker = this.#seen.job.attempts.find(({ number }) => number === attempt) ?? { number: attempt };
    for (const entry of entries) await printer.entry(entry, worker);
  }

  async #redraw(): Promise<void> {
    const { columns } = this.#bottom;
    if (this.#typed !== undefined) {
      await this.#bottom.show(`> ${sanitise(this.#typed).slice(-(columns - 4))}▏`);
      return;
    }
    const note = this.#isAway
      ? "not live"
      : this.#steering.asksToConfirm
        ? "c again cancels the job"
        : this.#steering.stepWords(this.#seen) || (process.stdin.isTTY ? "? keys" : "");
    await this.#bottom.show(statusRow(this.#seen, columns, Date.now(), note));
  }

  #typedIn(text: string): void {
    for (const typed of this.#typing.take(text)) {
      if (typed.kind === "typing") {
        this.#typed = typed.text;
        continue;
      }
      if (typed.kind !== "key") this.#typed = undefined;
      // What is kept for later would come when nobody expects it any more.
      if (this.#isAway && (typed.kind !== "key" || steers(typed.key))) this.#bottom.note("Not live: nothing was sent.");
      else if (typed.kind !== "key") {
        this.#steering.input(typed.kind === "line" ? `${typed.text}\n` : "", typed.kind === "eof");
      } else if (typed.key === "detach" || typed.key === "interrupt") {
        this.#left = typed.key === "detach" ? exitCodes.ok : exitCodes.interrupted;
        this.#console.leave();
      } else if (typed.key === "input")
        this.#bottom.note(`Jobs of type ${sanitise(this.#seen.job.type)} take no input: nothing is sent.`);
      else if (typed.key === "suspend") void this.#suspend().catch(() => undefined);
      else this.#steering.press(typed.key, this.#seen);
    }
    void this.#redraw().catch(() => undefined);
  }

  async #suspend(): Promise<void> {
    await this.#bottom.hide();
    this.#keyboard.suspend();
  }
}

/** Whether a key asks something of the job. */
function steers(key: Key): boolean {
  return !["detach", "interrupt", "suspend", "help"].includes(key);
}
