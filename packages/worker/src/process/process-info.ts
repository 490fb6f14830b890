/** A process as the system showed it at one moment. */
export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** The session; 0 where the system does not tell. */
  readonly session: number;
  /** When it started, in a unit of the system's own. Pid and start together name a process for good: pids are used again. */
  readonly startedAt: string;
  /** `blocked` is an uninterruptible wait: no signal has an effect before it ends. `ended` is a process that only waits to be reaped. */
  readonly state: "running" | "stopped" | "blocked" | "ended";
  /** The program's file name, cut off by the system; for people. */
  readonly name: string;
  /** Whether its environment, as it was when its program started, names `marker` in {@link markerVariable}. */
  readonly hasMarker: (marker: string) => boolean;
}

/** The processes of a machine. */
export interface Processes {
  /** All that there are, in no order. */
  list(): Promise<ProcessInfo[]>;
  /** Whether the pid still belongs to this process, as far as the system can tell without another list. */
  isSame(process: ProcessInfo): boolean;
  /** When the process that has this pid started; undefined if there is none, or the system cannot tell without a list. */
  startOf(pid: number): string | undefined;
}

/** Names the runs that a process belongs to, inner ones last, separated by colons. Children inherit it, even those that `setsid` away. */
export const markerVariable = "SIGNALBOX_RUN";

/** This system cannot supervise programs. */
export class UnsupportedPlatform extends Error {
  override readonly name = "UnsupportedPlatform";
  constructor(platform: string) {
    super(
      `Signalbox cannot run commands on ${platform}: it needs the process groups and signals of Linux or macOS. ` +
        "On Windows, use it inside WSL.",
    );
  }
}

/** Pid and start: the same for the same process only. */
export function identityOf({ pid, startedAt }: Pick<ProcessInfo, "pid" | "startedAt">): string {
  return `${pid}@${startedAt}`;
}
