import { RunMode, type Hold, type LeverValue } from "@signalbox/protocol";
import { duration, rate } from "../ui/format.ts";
import { holdWords } from "./hold.ts";
import { levelName } from "./log-level.ts";
import { parameterChanges, parametersOf, valueWords } from "./parameters.ts";
import { priorityText } from "./priority.ts";

// Levers and their values in words.

/** At most so many parameters are named in a line. */
const mostNamed = 3;

/** What a command did, in words that follow a name: `paused`, `set speed 200 /s → 20 /s`, `set log level INFO → DEBUG for 10 min`. */
export function didWhat(value: LeverValue, before?: LeverValue, hold?: Hold): string {
  switch (value.value.case) {
    case "run":
      if (value.value.value.mode === RunMode.PAUSE) return "paused";
      if (value.value.value.mode === RunMode.RUN) return "resumed";
      return value.value.value.graceMs > 0
        ? `cancelled, ${duration(value.value.value.graceMs)} grace`
        : "cancelled, at once";
    case undefined:
      return "did something this page does not know";
    default:
      return `set ${leverNoun(value)} ${changeText(value, before, hold)}`;
  }
}

/** What a command did, in a word or two: `pause`, `speed 200 /s → 20 /s`, `parameters`. */
export function shortWhat(value: LeverValue, before?: LeverValue): string {
  switch (value.value.case) {
    case "run":
      if (value.value.value.mode === RunMode.PAUSE) return "pause";
      return value.value.value.mode === RunMode.RUN ? "resume" : "cancel";
    case "parameters":
      return "parameters";
    default:
      return `${leverNoun(value)} ${changeText(value, before)}`;
  }
}

/** From what to what a lever was moved: `200 /s → 20 /s`, `times 3 → 5`; without the former where it is not known. */
export function changeText(value: LeverValue, before?: LeverValue, hold?: Hold): string {
  if (value.value.case === "parameters") {
    const changes = parameterChanges(parametersOf(before), parametersOf(value));
    const named = changes.slice(0, mostNamed);
    const more = changes.length > mostNamed ? `, ${changes.length - mostNamed} more` : "";
    if (named.length === 0) return "as they were";
    return (
      named.map(({ name, before: was, after }) => `${name} ${valueWords(was)} → ${valueWords(after)}`).join(", ") + more
    );
  }
  const was = before?.value.case ? `${valueText(before)} → ` : "";
  return `${was}${valueText(value)}${hold ? ` for ${holdWords(Number(hold.durationMs))}` : ""}`;
}

/** A lever's value in words: `20 /s`, `unlimited`, `Pause`. */
export function valueText(value: LeverValue): string {
  switch (value.value.case) {
    case "run":
      return value.value.value.mode === RunMode.PAUSE
        ? "Pause"
        : value.value.value.mode === RunMode.CANCEL
          ? "Cancel"
          : "Run";
    case "speed":
      return value.value.value.itemsPerSecond === undefined ? "unlimited" : rate(value.value.value.itemsPerSecond);
    case "logLevel":
      return levelName(value.value.value.level);
    case "priority":
      return priorityText(value.value.value.priority).toLowerCase();
    case "parameters":
      return "new values";
    default:
      return "";
  }
}

/** What a lever is called. */
export function leverNoun(value: LeverValue): string {
  return { run: "run", speed: "speed", logLevel: "log level", priority: "priority", parameters: "parameters" }[
    value.value.case ?? "run"
  ];
}
