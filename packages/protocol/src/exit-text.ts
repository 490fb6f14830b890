import { EndOutcome, type AttemptEnd } from "./gen/signalbox/v1/job_pb.ts";

/** Signals that end programs, by number. These numbers are the same on Linux and macOS, but for BUS, which macOS calls 10. */
const signals: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
  24: "SIGXCPU",
  25: "SIGXFSZ",
};
/** A shell says so much more than the number of the signal that ended a program. */
const signalBase = 128;

/** How a program ended: `exit 0`, `exit 139, SIGSEGV`; empty if no program was run. */
export function exitText(end: AttemptEnd | undefined): string {
  if (!end) return "";
  const nameless = namelessSignal(end);
  const name = nameless !== undefined || /^(?:SIG|$)/.test(end.signal) ? end.signal : `SIG${end.signal}`;
  const number = nameless ?? Object.entries(signals).find(([, each]) => each === name)?.[0];
  const code = end.exitCode ?? (number === undefined ? undefined : signalBase + Number(number));
  const signal = name || (code !== undefined && code > signalBase ? (signals[code - signalBase] ?? "") : "");
  return [code === undefined ? "" : `exit ${code}`, signal].filter(Boolean).join(", ");
}

/** The number of a signal that has no name, such as a real-time one: it is told as `signal 40`. */
export function namelessSignal({ signal }: AttemptEnd): number | undefined {
  const [, number] = /^signal (\d{1,3})$/.exec(signal) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** How an attempt ended, in a word where no program tells it. */
export function endWord(end: AttemptEnd): string {
  return exitText(end) || (outcomeWords[end.outcome] ?? "ended");
}

const outcomeWords: Readonly<Record<EndOutcome, string>> = {
  [EndOutcome.UNSPECIFIED]: "ended",
  [EndOutcome.SUCCEEDED]: "succeeded",
  [EndOutcome.FAILED]: "failed",
  [EndOutcome.CANCELED]: "canceled",
  [EndOutcome.RELEASED]: "released",
  [EndOutcome.DECLINED]: "declined",
  [EndOutcome.GIVEN_UP]: "given up",
};
