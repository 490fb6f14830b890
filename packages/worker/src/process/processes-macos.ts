import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { markerVariable, type ProcessInfo, type Processes } from "./process-info.ts";

const run = promisify(execFile);
const columns = "pid=,ppid=,pgid=,state=,lstart=,command=";

/** Processes of macOS, from ps: environments are shown (-E) for processes of the same user. */
export const macosProcesses: Processes = {
  async list() {
    const { stdout } = await run("/bin/ps", ["-axwwE", "-o", columns], {
      encoding: "latin1",
      maxBuffer: 64 * 1024 * 1024,
      // The start is printed as a date in words.
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
    });
    return parsePs(stdout);
  },
  // Another ps for each pid would take longer than the list that this process comes from is old.
  isSame: () => true,
  startOf: () => undefined,
};

const row = /^ *(\d+) +(\d+) +(\d+) +(\S+) +(\w{3} +\w{3} +\d+ [\d:]{8} \d{4}) (.*)$/;

/** Reads what ps prints with the columns above. */
export function parsePs(output: string): ProcessInfo[] {
  const found: ProcessInfo[] = [];
  for (const line of output.split("\n")) {
    const match = row.exec(line);
    if (!match) continue;
    const [, pid, parent, group, state = "", startedAt = "", command = ""] = match;
    const path = command.split(" ", 1)[0] ?? "";
    found.push({
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      session: 0,
      startedAt,
      state: stateOf(state),
      name: path.slice(path.lastIndexOf("/") + 1),
      hasMarker: (marker) => namesMarker(command, marker),
    });
  }
  return found;
}

function stateOf(letters: string): ProcessInfo["state"] {
  if (letters.startsWith("T")) return "stopped";
  if (letters.startsWith("U")) return "blocked";
  return letters.startsWith("Z") ? "ended" : "running";
}

/** The environment stands behind the arguments, separated by spaces like them. */
function namesMarker(command: string, marker: string): boolean {
  const start = command.lastIndexOf(` ${markerVariable}=`);
  if (start < 0) return false;
  const value = command.slice(start + markerVariable.length + 2).split(" ", 1)[0] ?? "";
  return value.split(":").includes(marker);
}
