import { readdirSync, readFileSync } from "node:fs";
import { markerVariable, type ProcessInfo, type Processes } from "./process-info.ts";

// Read synchronously: a look is only worth something if it is quick, and /proc never waits for a disk.

/** Processes of Linux, from /proc. */
export const linuxProcesses: Processes = {
  async list() {
    const found: ProcessInfo[] = [];
    for (const name of readdirSync("/proc")) {
      const first = name.charCodeAt(0);
      if (first < 0x30 || first > 0x39) continue;
      const info = readProcess(Number(name));
      if (info) found.push(info);
    }
    return found;
  },
  isSame({ pid, startedAt }) {
    return readProcess(pid)?.startedAt === startedAt;
  },
  startOf: (pid) => readProcess(pid)?.startedAt,
};

/** One process; undefined if there is none. */
function readProcess(pid: number): ProcessInfo | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : parseStat(stat, (marker) => environmentHas(pid, marker));
}

/** Reads a line of /proc/<pid>/stat. The name stands in parentheses and may hold anything, parentheses included. */
export function parseStat(stat: string, hasMarker: (marker: string) => boolean): ProcessInfo | undefined {
  const open = stat.indexOf("(");
  const close = stat.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  // From the third field of proc(5) on.
  const fields = stat.slice(close + 2).split(" ");
  const [letter = "", parent, group, session] = fields;
  const threads = Number(fields[17]);
  const startedAt = fields[19];
  if (startedAt === undefined) return undefined;
  return {
    pid: Number(stat.slice(0, open)),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    startedAt,
    state: stateOf(letter, threads),
    name: stat.slice(open + 1, close),
    hasMarker,
  };
}

function stateOf(letter: string, threads: number): ProcessInfo["state"] {
  switch (letter) {
    case "T":
    case "t":
      return "stopped";
    case "D":
      return "blocked";
    case "Z":
      // A main thread that has ended leaves the others running.
      return threads > 1 ? "running" : "ended";
    case "X":
    case "x":
      return "ended";
    default:
      return "running";
  }
}

function environmentHas(pid: number, marker: string): boolean {
  const environment = read(`/proc/${pid}/environ`);
  if (!environment) return false;
  const start = environment.startsWith(`${markerVariable}=`) ? 0 : environment.indexOf(`\0${markerVariable}=`);
  if (start < 0) return false;
  const end = environment.indexOf("\0", start + 1);
  const value = environment.slice(environment.indexOf("=", start) + 1, end < 0 ? undefined : end);
  return value.split(":").includes(marker);
}

/** The file's text; undefined if it is gone or somebody else's. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}
