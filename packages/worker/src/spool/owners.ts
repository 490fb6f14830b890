import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { startOf } from "../process/process-start.ts";

/**
 * Whose a spool is stands in the name of its folder, `<worker>~<incarnation>~<owner>`, so that a rename is what takes it over: of two
 * that try, one finds nothing to rename, and whoever looks sees at once that the new owner lives.
 */
export interface SpoolName {
  readonly workerId: string;
  readonly incarnation: string;
  readonly owner: string;
}

/** What is known of an owner. `elsewhere`: it is a process of another machine or container, or the system does not tell. */
export type OwnerState = "alive" | "dead" | "elsewhere";

/** The owner of a spool that a living process has given up. */
export const NOBODY = "nobody";

/** What this process is called as an owner: its pid, its start, and where pids mean what they mean here. */
export function ownToken(): string {
  return `${process.pid}.${startOf(process.pid) ?? "-"}.${place()}`;
}

/** Whether the process that a token stands for still lives. */
export function ownerState(token: string): OwnerState {
  if (token === NOBODY) return "dead";
  const [pid, start, where] = token.split(".");
  if (where !== place()) return "elsewhere";
  if (!lives(Number(pid))) return "dead";
  const found = startOf(Number(pid));
  return found === undefined || found === start ? "alive" : "dead";
}

/** The name of a spool's folder. */
export function folderName({ workerId, incarnation, owner }: SpoolName): string {
  return `${workerId}~${incarnation}~${owner}`;
}

/** Reads the name of a spool's folder; undefined: it is none. */
export function readFolderName(name: string): SpoolName | undefined {
  const match = /^([A-Za-z0-9._:-]{1,100})~([A-Za-z0-9-]{16,64})~([A-Za-z0-9.-]{1,80})$/.exec(name);
  return match?.[1] && match[2] && match[3]
    ? { workerId: match[1], incarnation: match[2], owner: match[3] }
    : undefined;
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, but somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

let known: string | undefined;

/** Names the machine since its last start, and the container: where a pid is one process. */
function place(): string {
  known ??= createHash("sha256").update(facts().join("\n")).digest("hex").slice(0, 12);
  return known;
}

function facts(): string[] {
  try {
    return [readFileSync("/proc/sys/kernel/random/boot_id", "latin1"), readlinkSync("/proc/self/ns/pid")];
  } catch {
    // No Linux: after a restart of the machine pids are told apart by nothing but their being there.
    return [hostname()];
  }
}
