import { linuxProcesses } from "./processes-linux.ts";

/** When the process that has this pid started, in a unit of the system's own; undefined if there is none, or the system does not tell. */
export function startOf(pid: number): string | undefined {
  return process.platform === "linux" ? linuxProcesses.startOf(pid) : undefined;
}
