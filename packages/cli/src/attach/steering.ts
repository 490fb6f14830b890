import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Level } from "@signalbox/protocol";
import { ConsoleInputSchema, ReceiptState, type JobEvent, type JobRecord, type Vitals } from "@signalbox/protocol";
import { rate } from "@signalbox/protocol/format";
import { isOpen } from "@signalbox/protocol/job-state";
import { levelWord } from "../lever-values.ts";
import { outcomeWords } from "../receipts.ts";
import { sanitise } from "../sanitise.ts";
import type { JobConsole } from "./job-console.ts";
import { keysHelp, type Key } from "./keys.ts";
import { nextLevel, nextSpeed } from "./levers.ts";

/** A second press of the cancel key counts within this, milliseconds. */
const confirmMs = 4_000;
/** What became of a step is shown for so long, milliseconds. */
const shownMs = 3_000;

type Said = Parameters<JobConsole["say"]>[0];

/** A command that is not answered yet. */
interface Asked {
  /** For people: what it asks, and what has not happened if it is refused. */
  readonly name: string;
  readonly notDone: string;
  /** How to say it again. */
  readonly command: Said;
  /** The link was lost since it was said. */
  isInDoubt: boolean;
}

/** A command that was in doubt and did arrive: what became of it is told when it is known. */
interface Returned {
  readonly name: string;
  readonly generation: bigint;
  isTold: boolean;
}

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
  readonly #console: Pick<JobConsole, "say">;
  readonly #note: (text: string) => void;
  readonly #asked = new Map<string, Asked>();
  #returned: Returned[] = [];
  /** The newest record. */
  #job: JobRecord | undefined;
  #cancelPressedMs = -Infinity;
  /** The lever that was moved by a step last: what it shall be, and what is known of that. */
  #step: Step | undefined;
  /** Where the next piece of input begins, once that is known. */
  #inputEnd: bigint | undefined;

  constructor(console: Pick<JobConsole, "say">, note: (text: string) => void) {
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
        this.#say("Pause", "Not paused", { case: "pause", value: {} });
        break;
      case "resume":
        this.#say("Resume", "Not resumed", { case: "resume", value: {} });
        break;
      case "cancel":
        if (confirmed) this.#say("Cancel", "Not canceled", { case: "cancel", value: {} });
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
    if (eof) this.#say("End of the input", "The input was not ended", { case: "input", value });
    else this.#say("Input", "Nothing sent", { case: "input", value });
  }

  /** The link is lost: says which commands may have arrived and may not. They are said again when it is back. */
  away(): void {
    if (this.#asked.size === 0) return;
    for (const each of this.#asked.values()) each.isInDoubt = true;
    const names = [...this.#asked.values()].map(({ name }) => name).join(", ");
    this.#note(`Not known whether it arrived: ${names}. It is asked again when the link is back, with one effect.`);
  }

  /** Takes what the server says of commands and of input. */
  heard(event: JobEvent["event"]): void {
    if (event.case === "state") this.#job = event.value;
    else if (event.case === "done") this.#job = event.value.job;
    else if (event.case === "input") this.#inputEnd = event.value.nextOffset;
    else if (event.case === "accepted") {
      const { id, generation } = event.value;
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (asked?.isInDoubt) this.#returned.push({ name: asked.name, generation, isTold: false });
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
          this.#say(asked.name, asked.notDone, { case: "input", value });
          return;
        }
      }
      this.#note(`${asked?.notDone ?? "Refused"}: ${sanitise(reason)}`);
    }
    this.#returned = this.#returned.filter((each) => !this.#tell(each));
  }

  /** Says what became of a command that was in doubt. Returns whether nothing more is to be said of it. */
  #tell(returned: Returned): boolean {
    const { name, generation } = returned;
    const job = this.#job;
    const receipt = job?.receipts.find((each) => each.generation === generation);
    const isDecided = receipt && !isOpen(receipt);
    if (job && isDecided) this.#note(`${name}: ${outcomeWords({ receipt, job, vitals: undefined })}`);
    else if (!returned.isTold) this.#note(`${name}: it has arrived.`);
    returned.isTold = true;
    // Input has no receipt, and the record keeps none for ever.
    return isDecided || (!receipt && (job?.spec?.generation ?? 0n) >= generation);
  }

  #sayStep(what: string, notDone: string, command: Said): void {
    const id = this.#say(what.charAt(0).toUpperCase() + what.slice(1), notDone, command);
    this.#step = { id, what, generation: undefined, decidedMs: undefined };
  }

  /** Returns the id under which it is answered. */
  #say(name: string, notDone: string, command: Said): string {
    const id = this.#console.say(command);
    this.#asked.set(id, { name, notDone, command, isInDoubt: false });
    return id;
  }
}
