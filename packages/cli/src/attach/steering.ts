import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Level } from "@signalbox/protocol";
import { ConsoleInputSchema, ReceiptState, type JobEvent, type JobRecord, type Vitals } from "@signalbox/protocol";
import { rate } from "@signalbox/protocol/format";
import { isOpen } from "@signalbox/protocol/job-state";
import { levelWord } from "../lever-values.ts";
import { sanitise } from "../sanitise.ts";
import type { JobConsole } from "./job-console.ts";
import { keysHelp, type Key } from "./keys.ts";
import { nextLevel, nextSpeed } from "./levers.ts";

/** A second press of the cancel key counts within this, milliseconds. */
const confirmMs = 4_000;
/** What became of a step is shown for so long, milliseconds. */
const shownMs = 3_000;

type Said = Parameters<JobConsole["say"]>[0];

/** What is known of the job. */
export interface Seen {
  readonly job: JobRecord;
  readonly vitals: Vitals | undefined;
}

/** A step of a lever. */
interface Step {
  readonly id: string;
  readonly what: string;
  /** Undefined: not accepted yet. */
  generation: bigint | undefined;
  decidedMs: number | undefined;
}

/** Turns keys and typed lines into commands, and says what became of them. */
export class Steering {
  readonly #console: JobConsole;
  readonly #note: (text: string) => void;
  /** What each command that is not answered yet asks, for people, and how to say it again. */
  readonly #asked = new Map<string, { readonly what: string; readonly command: Said }>();
  #cancelPressedMs = -Infinity;
  /** The lever that was moved by a step last: what it shall be, and what is known of that. */
  #step: Step | undefined;
  /** Where the next piece of input begins, once that is known. */
  #inputEnd: bigint | undefined;

  constructor(console: JobConsole, note: (text: string) => void) {
    this.#console = console;
    this.#note = note;
  }

  /** Whether the next press of the cancel key cancels. */
  get asksToConfirm(): boolean {
    return performance.now() - this.#cancelPressedMs < confirmMs;
  }

  /** What is known of the newest step of a lever, for a moment after it is decided; else empty. */
  stepWords({ job }: Pick<Seen, "job">): string {
    const step = this.#step;
    if (!step) return "";
    const receipt = job.receipts.find(({ generation }) => generation === step.generation);
    if (!receipt || isOpen(receipt)) return `${step.what} asked`;
    step.decidedMs ??= performance.now();
    if (performance.now() - step.decidedMs >= shownMs) this.#step = undefined;
    switch (receipt.state) {
      case ReceiptState.APPLIED:
      case ReceiptState.PROVED:
        return `${step.what} in effect`;
      case ReceiptState.REJECTED:
        return `${step.what} refused: ${sanitise(receipt.reason)}`;
      default:
        return "";
    }
  }

  /** Does what a key asks for; those that leave are for the caller. */
  press(key: Key, { job, vitals }: Seen): void {
    const confirmed = key === "cancel" && this.asksToConfirm;
    this.#cancelPressedMs = key === "cancel" && !confirmed ? performance.now() : -Infinity;
    switch (key) {
      case "pause":
        this.#say("Not paused", { case: "pause", value: {} });
        break;
      case "resume":
        this.#say("Not resumed", { case: "resume", value: {} });
        break;
      case "cancel":
        if (confirmed) this.#say("Not canceled", { case: "cancel", value: {} });
        break;
      case "faster":
      case "slower": {
        const speed = nextSpeed(job, vitals, key === "faster");
        const words = speed === undefined ? "unlimited" : rate(speed);
        this.#sayStep(`speed ${words}`, `Speed not set to ${words}`, {
          case: "setSpeed",
          value: speed === undefined ? {} : { itemsPerSecond: speed },
        });
        break;
      }
      case "level": {
        const level: Level = nextLevel(job);
        const words = levelWord(level);
        this.#sayStep(`log level ${words}`, `Log level not set to ${words}`, {
          case: "setLogLevel",
          value: { level: { level } },
        });
        break;
      }
      case "help":
        this.#note(keysHelp);
        break;
      case "input":
      case "detach":
      case "interrupt":
      case "suspend":
    }
  }

  /** Sends data into the job, or ends its input. */
  input(text: string, eof = false): void {
    const data = new TextEncoder().encode(text);
    const offset = this.#inputEnd;
    // A piece with a place can be said again when the link was lost.
    const value = create(ConsoleInputSchema, { data, eof, ...(offset === undefined ? {} : { offset }) });
    if (offset !== undefined) this.#inputEnd = offset + BigInt(data.length);
    this.#say(eof ? "The input was not ended" : "Nothing sent", { case: "input", value });
  }

  /** Takes what the server says of commands and of input. */
  heard(event: JobEvent["event"]): void {
    if (event.case === "input") this.#inputEnd = event.value.nextOffset;
    else if (event.case === "accepted") {
      const { id, generation } = event.value;
      this.#asked.delete(id);
      if (this.#step?.id === id) this.#step.generation = generation;
    } else if (event.case === "refused") {
      const { id, code, reason, nextOffset } = event.value;
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (this.#step?.id === id) this.#step = undefined;
      if (asked?.command.case === "input") {
        this.#inputEnd = nextOffset;
        // Somebody else has sent something meanwhile: ours goes behind it.
        if (code === (Code.Aborted as number)) {
          const value = create(ConsoleInputSchema, { ...asked.command.value, offset: nextOffset });
          this.#inputEnd = nextOffset + BigInt(value.data.length);
          this.#say(asked.what, { case: "input", value });
          return;
        }
      }
      this.#note(`${asked?.what ?? "Refused"}: ${sanitise(reason)}`);
    }
  }

  #sayStep(what: string, notDone: string, command: Said): void {
    this.#step = { id: this.#say(notDone, command), what, generation: undefined, decidedMs: undefined };
  }

  /** Returns the id under which it is answered. */
  #say(what: string, command: Said): string {
    const id = this.#console.say(command);
    this.#asked.set(id, { what, command });
    return id;
  }
}
