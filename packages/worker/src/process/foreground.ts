import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * Whether this process may read from its terminal. One in the background that tries is stopped by the kernel, and with it the program
 * that it supervises.
 */
export function isInForeground(): boolean {
  try {
    const [group, foreground] = process.platform === "linux" ? fromProc() : fromPs();
    return group === foreground;
  } catch {
    // Not to read is the safe side.
    return false;
  }
}

function fromProc(): [string | undefined, string | undefined] {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return [fields[2], fields[5]];
}

function fromPs(): [string | undefined, string | undefined] {
  const output = execFileSync("/bin/ps", ["-o", "pgid=,tpgid=", "-p", String(process.pid)], { encoding: "latin1" });
  const [group, foreground] = output.trim().split(/\s+/);
  return [group, foreground];
}
