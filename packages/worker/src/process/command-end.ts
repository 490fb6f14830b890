import type { ProgramEnd } from "../job.ts";
import type { ProgramExit } from "./program.ts";

/** The exit code as a shell would have it: a program that a signal has ended has 128 and the signal's number. */
export function exitCodeOf(exit: ProgramExit): number {
  return "code" in exit ? exit.code : 128 + exit.number;
}

/** What the attempt's record says. */
export function programEndOf(exit: ProgramExit): ProgramEnd {
  return "code" in exit ? { exitCode: exit.code } : { signal: exit.signal };
}

/** Why a command has failed, for people. */
export function failureOf(exit: ProgramExit, sentHere: ReadonlySet<string>): string {
  if ("code" in exit) return `exit code ${exit.code}`;
  const from = sentHere.has(exit.signal) ? ", sent where it runs" : "";
  const meaning = meanings[exit.signal];
  return `ended by ${exit.signal}${meaning ? ` (${meaning})` : ""}${from}`;
}

const meanings: Readonly<Record<string, string>> = {
  SIGABRT: "it has aborted itself",
  SIGBUS: "bus error",
  SIGFPE: "arithmetic error",
  SIGILL: "illegal instruction",
  SIGINT: "Ctrl+C",
  SIGKILL: "killed; the kernel does that too when memory is short",
  SIGPIPE: "nobody reads its output",
  SIGSEGV: "segmentation fault",
};
