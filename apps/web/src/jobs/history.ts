import {
  EndOutcome,
  LeverOutcome,
  ReceiptState,
  RunMode,
  TimerKind,
  type JobEntry,
  type JobRecord,
  type Receipt,
} from "@signalbox/protocol";
import { setting } from "./job-state.ts";
import { endedHow, lateEndText } from "./late.ts";
import { changeText, didWhat, leverNoun, shortWhat } from "./lever-words.ts";
import { exitText } from "./progress.ts";
import type { LampShape, Tone } from "../ui/lamp.ts";
import { capital } from "../ui/words.ts";
import { StateTrack, type LogBand, type TrackSection } from "./state-track.ts";

/** One thing that happened to a job, for the timeline. */
export interface HistoryItem {
  /** Unique in the job. */
  readonly key: string;
  /** Server clock, microseconds since the Unix epoch. */
  readonly atUs: number;
  readonly shape: LampShape | "lever";
  readonly tone: Tone;
  readonly title: string;
  /** Who, where or why; may be empty. */
  readonly text: string;
  /** The attempt that it belongs to; 0 if to none. */
  readonly attempt: number;
  /** With a command on a lever: how far it has come. */
  readonly receipt: Receipt | undefined;
  /** A line of the attempt to jump to. */
  readonly line: number | undefined;
  /** It tells of late lines of the attempt, which can be shown. */
  readonly lateLines?: boolean;
}

/** A command that took effect at a place in a log. Stands before `line`. */
export interface CommandMarker {
  readonly generation: number;
  readonly attempt: number;
  readonly line: number;
  readonly who: string;
  readonly what: string;
  /** The same in a word or two. */
  readonly short: string;
  /** When it took effect, server clock, microseconds since the Unix epoch. */
  readonly atUs: number;
  /** From accepted to applied, milliseconds. */
  readonly afterMs: number;
  /** What was measured of its effect; empty: nothing yet. */
  readonly proof: string;
}

/** At most so many items are kept; the oldest go. */
const maxItems = 2_000;

/**
 * Folds the entries of one job into its timeline and the markers of its commands. Receipts are those of the newest entry that holds
 * them: a command's item changes until the command is decided.
 */
export class JobHistory {
  #items: HistoryItem[] = [];
  #count = 0;
  readonly #receipts = new Map<bigint, Receipt>();
  readonly #told: Told = { begun: new Set(), lost: new Set() };
  readonly #track = new StateTrack();

  /** Oldest first. */
  get items(): readonly HistoryItem[] {
    return this.#items;
  }

  /** What was observed of the job, oldest first. */
  get sections(): readonly TrackSection[] {
    return this.#track.sections;
  }

  /** Lines of an attempt that were printed while the job was paused or lost. */
  bands(attempt: number): LogBand[] {
    return this.#track.bands(attempt);
  }

  /** The command with a generation, if it is known. */
  receipt(generation: bigint): Receipt | undefined {
    return this.#receipts.get(generation);
  }

  /** Markers of an attempt, by line, then by generation. */
  markers(attempt: number): CommandMarker[] {
    const markers: CommandMarker[] = [];
    for (const receipt of this.#receipts.values()) {
      const took = receipt.state === ReceiptState.APPLIED || receipt.state === ReceiptState.PROVED;
      if (!took || receipt.attempt !== attempt || receipt.atLine === 0n || !receipt.value) continue;
      markers.push({
        generation: Number(receipt.generation),
        attempt,
        line: Number(receipt.atLine),
        who: receipt.actor?.name || "somebody",
        what: didWhat(receipt.value, receipt.before, receipt.hold),
        short: shortWhat(receipt.value, receipt.before),
        atUs: Number(receipt.decidedAtUs),
        proof: receipt.proof,
        afterMs: Number(receipt.decidedAtUs - receipt.acceptedAtUs) / 1000,
      });
    }
    return markers.sort((a, b) => a.line - b.line || a.generation - b.generation);
  }

  /** Takes the next entries in, oldest first. */
  add(entries: readonly JobEntry[]): void {
    for (const entry of entries) {
      this.#count++;
      this.#track.add(entry);
      const item = describeEntry(entry, this.#count, this.#told);
      if (item) this.#items.push(item);
      if (entry.record) this.learn(entry.record);
    }
    if (this.#items.length > maxItems) this.#items = this.#items.slice(-maxItems);
  }

  /** Takes the receipts of a record in, which may be newer than its entry here. */
  learn(record: JobRecord): void {
    let changed = false;
    for (const receipt of record.receipts) {
      const known = this.#receipts.get(receipt.generation);
      if (known && rank(known.state) > rank(receipt.state)) continue;
      this.#receipts.set(receipt.generation, receipt);
      changed = true;
    }
    if (!changed) return;
    this.#items = this.#items.map((item) => {
      const receipt = item.receipt && this.#receipts.get(item.receipt.generation);
      if (!receipt || receipt === item.receipt) return item;
      return commandItem(item.key, item.atUs, receipt, this.#receipts.get(receipt.supersededBy));
    });
  }

  /** Forgets everything: the whole history follows again. */
  reset(): void {
    this.#items = [];
    this.#count = 0;
    this.#receipts.clear();
    this.#told.begun.clear();
    this.#told.lost.clear();
    this.#track.reset();
  }
}

/** How far along a state is, so that an older word never replaces a newer one. */
function rank(state: ReceiptState): number {
  if (state === ReceiptState.PROVED) return 4;
  return state >= ReceiptState.APPLIED ? 3 : state;
}

/** `by` is the command that took its place, if one did. */
function commandItem(key: string, atUs: number, receipt: Receipt, by?: Receipt): HistoryItem {
  const value = receipt.value;
  const run = value?.value.case === "run" ? value.value.value : undefined;
  const refused = receipt.state === ReceiptState.REJECTED;
  const verb =
    run?.mode === RunMode.PAUSE
      ? "Pause"
      : run?.mode === RunMode.RUN
        ? "Resume"
        : run
          ? "Cancel"
          : value
            ? capital(`${leverNoun(value)} ${changeText(value, receipt.before, receipt.hold)}`)
            : "Command";
  const reason = run?.reason ? `“${run.reason}”` : "";
  const superseded =
    receipt.state === ReceiptState.SUPERSEDED && by?.value
      ? `${by.actor?.name || "Somebody"} ${didWhat(by.value, undefined, by.hold)} first`
      : "";
  return {
    key,
    atUs,
    shape: "lever",
    tone: refused ? "stop" : receipt.state <= ReceiptState.DELIVERED ? "wait" : "idle",
    title: `${verb} by ${receipt.actor?.name || "somebody"}${refused ? ", refused" : ""}`,
    text: refused ? receipt.reason : [reason, superseded].filter(Boolean).join(", "),
    attempt: receipt.attempt,
    receipt,
    line: receipt.atLine > 0n ? Number(receipt.atLine) : undefined,
  };
}

/** What was told of attempts already: reports repeat that one has begun, and one that is lost may be lost for another reason. */
interface Told {
  readonly begun: Set<number>;
  readonly lost: Set<number>;
}

function describeEntry(entry: JobEntry, count: number, told: Told): HistoryItem | undefined {
  const { cause, record } = entry;
  const atUs = Number(entry.atUs);
  const who = entry.actor?.name || "somebody";
  const item = (shape: HistoryItem["shape"], tone: Tone, title: string, text = "", attempt = 0): HistoryItem => ({
    key: `e${count}`,
    atUs,
    shape,
    tone,
    title,
    text,
    attempt,
    receipt: undefined,
    line: undefined,
  });
  switch (cause.case) {
    case "started":
      return item("waiting", "idle", `Started by ${who}`, "waits for a worker");
    case "assignment":
      return item(
        "moving",
        "idle",
        `Attempt ${cause.value.attempt} given to ${cause.value.workerId}`,
        "",
        cause.value.attempt,
      );
    case "command": {
      const { action, generation } = cause.value;
      if (action.case === "giveUp") return item("lost", "lost", `Given up by ${who}`, action.value.reason);
      if (action.case === "withdrawGeneration") return item("lever", "idle", `Taken back by ${who}`);
      const receipt = record?.receipts.find((each) => each.generation === generation);
      return receipt && commandItem(`e${count}`, atUs, receipt);
    }
    case "report": {
      const { attempt, end, started } = cause.value;
      const known = record?.attempts.find((each) => each.number === attempt);
      if (end) {
        const how = endWords(end.outcome);
        const exit = exitText(end);
        return item(
          how.shape,
          how.tone,
          `Attempt ${attempt} ${how.word}`,
          [exit, end.reason === how.word ? "" : end.reason].filter(Boolean).join(", "),
          attempt,
        );
      }
      if (started && known && !told.begun.has(attempt)) {
        told.begun.add(attempt);
        return item("running", "go", `Attempt ${attempt} runs on ${known.workerId}`, "", attempt);
      }
      const back = cause.value.levers.find(
        (lever) =>
          lever.outcome === LeverOutcome.REVERTED &&
          record &&
          setting(record, lever.value?.value.case ?? "run")?.generation === lever.generation + 1n,
      );
      return back?.value && item("lever", "idle", capital(`${leverNoun(back.value)} back`), "its time was up", attempt);
    }
    case "lost": {
      const { attempt, reason } = cause.value;
      const stays = told.lost.has(attempt);
      told.lost.add(attempt);
      return item("lost", "lost", `Attempt ${attempt} ${stays ? "stays lost" : "lost"}`, reason, attempt);
    }
    case "back":
      told.lost.delete(cause.value.attempt);
      return item(
        "running",
        "go",
        `Attempt ${cause.value.attempt} is back`,
        "same process, nothing lost",
        cause.value.attempt,
      );
    case "late": {
      const { attempt: number, end, firstLine } = cause.value;
      const known = record?.attempts.find((each) => each.number === number);
      const how = end ? capital(lateEndText(end, known, atUs / 1000)) : `after ${endedHow(known)}`;
      if (firstLine === 0n) return item("lost", "lost", `Attempt ${number}: its worker's late word`, how, number);
      return { ...item("lost", "lost", `Attempt ${number}: lines came late`, how, number), lateLines: true };
    }
    case "retry":
      return item("waiting", "idle", `Retry by ${who}`, cause.value.parametersChanged ? "with new parameters" : "");
    case "timer":
      if (cause.value.kind === TimerKind.DELIVER_BY)
        return item("lever", "wait", "Command expired", "not delivered in time");
      return cause.value.kind === TimerKind.HOLD_ENDED
        ? item("lever", "idle", "Lever back", "its time was up")
        : undefined;
    default:
      return undefined;
  }
}

function endWords(outcome: EndOutcome): { shape: LampShape; tone: Tone; word: string } {
  switch (outcome) {
    case EndOutcome.SUCCEEDED:
      return { shape: "succeeded", tone: "done", word: "succeeded" };
    case EndOutcome.CANCELED:
      return { shape: "canceled", tone: "idle", word: "canceled" };
    case EndOutcome.RELEASED:
      return { shape: "waiting", tone: "idle", word: "released by its worker" };
    case EndOutcome.DECLINED:
      return { shape: "waiting", tone: "idle", word: "declined" };
    case EndOutcome.GIVEN_UP:
      return { shape: "lost", tone: "lost", word: "given up" };
    default:
      return { shape: "failed", tone: "stop", word: "failed" };
  }
}
