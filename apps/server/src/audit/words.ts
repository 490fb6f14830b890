import {
  EndOutcome,
  JobState,
  LevelSchema,
  LeverOutcome,
  RunMode,
  TimerKind,
  type AttemptReport,
  type Command,
  type Hold,
  type JobEntry,
  type JobRecord,
  type LeverReport,
  type LeverValue,
  type Limit,
} from "@signalbox/protocol";
import { duration, rate } from "@signalbox/protocol/format";
import { parameterChanges, parametersOf, valueWords } from "@signalbox/protocol/parameters";
import { clip } from "../clip.ts";
import { settingOf } from "../jobs/levers.ts";

// What somebody did or asked for, in the words of the audit view. They are data for filters too: the same thing is always said the same way.

/** Of values in words, characters. */
const longestValues = 200;

/** What moves a lever, as people call it: 'Pause', 'Speed 40 /s', 'Log level DEBUG for 10 min'. */
export function leverWords(value: LeverValue | undefined, hold?: Hold): string {
  return `${bareWords(value)}${hold ? ` for ${timeWords(Number(hold.durationMs))}` : ""}`;
}

function bareWords(value: LeverValue | undefined): string {
  switch (value?.value.case) {
    case "run": {
      const { mode, bySystem } = value.value.value;
      if (mode === RunMode.CANCEL) return "Cancel";
      if (mode === RunMode.PAUSE) return bySystem ? "Stop by the system" : "Pause";
      return "Resume";
    }
    case "speed":
      return `Speed ${settingWords(value)}`;
    case "logLevel":
      return `Log level ${settingWords(value)}`;
    case "priority":
      return `Priority ${settingWords(value)}`;
    case "parameters":
      return "Parameters";
    default:
      return "A command that names no lever";
  }
}

/** What a lever with one value is set to: '40 /s', 'DEBUG', '50'; empty for others. */
function settingWords({ value }: LeverValue): string {
  switch (value.case) {
    case "speed": {
      const speed = value.value.itemsPerSecond;
      return speed === undefined ? "unlimited" : plain(rate(speed));
    }
    case "logLevel": {
      const { level, verbosity } = value.value;
      return verbosity === undefined
        ? (LevelSchema.value[level]?.localName ?? String(level))
        : `of verbosity ${verbosity}`;
    }
    case "priority":
      return String(value.value.priority);
    default:
      return "";
  }
}

/** What a command asks. */
export function commandWords(command: Command | undefined): string {
  switch (command?.action.case) {
    case "set":
      return leverWords(command.action.value, command.hold);
    case "withdrawGeneration":
      return `Take back generation ${command.action.value}`;
    case "giveUp":
      return "Give up";
    default:
      return "A command that asks for nothing";
  }
}

/** What a limit is, or that it is lifted. */
export function limitWords(limit: Limit | undefined, lift: boolean): string {
  if (!limit) return "A limit of nothing";
  const of = limit.type
    ? `of type ${limit.type}`
    : `with label ${limit.labelKey}${limit.labelValue ? `=${limit.labelValue}` : ", each value for itself"}`;
  if (lift) return `No limit for jobs ${of}`;
  return `At most ${limit.mostRunning} ${limit.mostRunning === 1 ? "job" : "jobs"} ${of}`;
}

const timers: Readonly<Partial<Record<TimerKind, string>>> = {
  [TimerKind.DELIVER_BY]: "Command expired, not delivered in time",
  [TimerKind.HOLD_ENDED]: "Value put back, its time was over",
  [TimerKind.RETRY]: "Queued again, the wait for a retry was over",
  [TimerKind.DEADLINE]: "Cancelled, it ran as long as it may",
  [TimerKind.GIVE_UP]: "Given up, lost for too long",
};

const ends: Readonly<Record<EndOutcome, string>> = {
  [EndOutcome.UNSPECIFIED]: "ended",
  [EndOutcome.SUCCEEDED]: "succeeded",
  [EndOutcome.FAILED]: "failed",
  [EndOutcome.CANCELED]: "was canceled",
  [EndOutcome.RELEASED]: "was released",
  [EndOutcome.DECLINED]: "was declined",
  [EndOutcome.GIVEN_UP]: "was given up",
};

/** What an entry of a job says, and why, if it says why. `before` is the record before it. */
export function entryWords(entry: JobEntry, before: JobRecord | undefined): { words: string; reason: string } {
  const { cause, record } = entry;
  const say = (words: string, reason = "") => ({ words, reason });
  switch (cause.case) {
    case "started":
      return say(`Start ${record?.type ?? ""}`.trimEnd());
    case "command": {
      const { action } = cause.value;
      const run = action.case === "set" && action.value.value.case === "run" ? action.value.value.value : undefined;
      const taken =
        action.case === "withdrawGeneration"
          ? before?.receipts.find(({ generation }) => generation === action.value)
          : undefined;
      if (taken) return say(`Take back ${leverWords(taken.value, taken.hold)}`);
      return say(commandWords(cause.value), action.case === "giveUp" ? action.value.reason : (run?.reason ?? ""));
    }
    case "retry":
      return say(cause.value.parametersChanged ? "Retry with other parameters" : "Retry");
    case "report":
      return reportWords(cause.value, before);
    case "timer":
      return say(timers[cause.value.kind] ?? "A clock ran out");
    case "assignment":
      return say(`Attempt ${cause.value.attempt} given to ${cause.value.workerId}`);
    case "lost":
      return say(
        `Attempt ${cause.value.attempt} ${before?.state === JobState.LOST ? "stays lost" : "lost"}`,
        cause.value.reason,
      );
    case "back":
      return say(`Attempt ${cause.value.attempt} is back`);
    case "workerGone":
      return say(`Worker ${cause.value.workerId} forgotten`);
    case "late": {
      const { attempt, firstLine, end } = cause.value;
      return say(
        end
          ? `Attempt ${attempt}, ended before, ${ends[end.outcome]}`
          : `Attempt ${attempt}, ended before, sent lines${firstLine > 0n ? ` from ${firstLine} on` : ""}`,
        end?.reason,
      );
    }
    case "proof":
      return say(`Effect of generation ${cause.value.generation} measured`, cause.value.measure);
    default:
      return say("Something that this server does not know");
  }
}

/** The values that an entry of a job set, in words, for who has read {@link entryWords}; empty where there are none. */
export function entryValues({ cause, record }: JobEntry, before: JobRecord | undefined): string {
  switch (cause.case) {
    case "started":
      return clip(
        parameterChanges({}, parametersOf(parametersIn(record)))
          .map(({ name, after }) => `${name} ${valueWords(after)}`)
          .join(", "),
        longestValues,
      );
    case "retry":
      if (!cause.value.parametersChanged) return "";
      return clip(changedWords(parametersIn(before), parametersIn(record)), longestValues);
    case "command": {
      const { action, generation } = cause.value;
      if (action.case !== "set") return "";
      const was = record?.receipts.find((receipt) => receipt.generation === generation)?.before;
      if (action.value.value.case === "parameters") return clip(changedWords(was, action.value), longestValues);
      const before = was ? settingWords(was) : "";
      return before === "" || before === settingWords(action.value) ? "" : `before ${before}`;
    }
    default:
      return "";
  }
}

function parametersIn(record: JobRecord | undefined): LeverValue | undefined {
  return settingOf(record?.spec, "parameters")?.value;
}

/** 'times 3 → 5, path – → /x' */
function changedWords(before: LeverValue | undefined, after: LeverValue | undefined): string {
  return parameterChanges(parametersOf(before), parametersOf(after))
    .map(({ name, before: was, after: is }) => `${name} ${valueWords(was)} → ${valueWords(is)}`)
    .join(", ");
}

/** What is new in a report: the whole state travels each time. */
function reportWords(report: AttemptReport, before: JobRecord | undefined): { words: string; reason: string } {
  const known = before?.attempts.find(({ number }) => number === report.attempt);
  const attempt = `Attempt ${report.attempt}`;
  const { end } = report;
  if (end && known?.endedAtUs === 0n) return { words: `${attempt} ${ends[end.outcome]}`, reason: end.reason };
  // The first word on all levers is no answer to a command.
  if (known?.levers.length === 0 && report.levers.length > 0 && report.levers.every(isApplied))
    return { words: `${attempt} took up its settings`, reason: "" };
  const decided = report.levers.filter((lever) => isNew(lever, known?.levers));
  if (decided.length > 0)
    return {
      words: decided.map(leverReportWords).join(", "),
      reason: decided.flatMap(({ reason }) => (reason ? [reason] : [])).join("; "),
    };
  if (report.started && known?.startedAtUs === 0n) return { words: `${attempt} runs`, reason: "" };
  if (known && report.receivedGeneration > known.receivedGeneration)
    return { words: `Received generation ${report.receivedGeneration}`, reason: "" };
  if (report.checkpoint.length > 0) return { words: "Saved a checkpoint", reason: "" };
  return { words: `${attempt} reported`, reason: before?.state === JobState.LOST ? "it was lost" : "" };
}

function isNew(report: LeverReport, known: readonly LeverReport[] | undefined): boolean {
  if (report.outcome === LeverOutcome.UNSPECIFIED) return false;
  const lever = report.value?.value.case;
  const same = known?.find((each) => each.value?.value.case === lever);
  return !same || same.generation !== report.generation || same.outcome !== report.outcome;
}

function isApplied({ outcome }: LeverReport): boolean {
  return outcome === LeverOutcome.APPLIED || outcome === LeverOutcome.UNSPECIFIED;
}

function leverReportWords(report: LeverReport): string {
  const what = `${leverWords(report.value)} (generation ${report.generation})`;
  if (report.outcome === LeverOutcome.REJECTED) return `Rejected ${what}`;
  return report.outcome === LeverOutcome.REVERTED ? `Back to ${what}` : `Applied ${what}`;
}

function timeWords(ms: number): string {
  if (ms >= 3_600_000 && ms % 3_600_000 === 0) return `${ms / 3_600_000} h`;
  return ms >= 60_000 && ms % 60_000 === 0 ? `${ms / 60_000} min` : plain(duration(ms));
}

/** With ordinary spaces: what is searched is typed with them. */
function plain(text: string): string {
  return text.replaceAll("\u00a0", " ");
}
