import { identityOf, type ProcessInfo, type Processes } from "./process-info.ts";

/** What a tree grows from. */
export interface TreeRoot {
  /** What the environment of its processes names. */
  readonly marker: string;
  /** The command itself, leader of a session and a process group of its own; undefined while it has not started. */
  readonly pid?: number;
  /** When it started; undefined if the system did not tell. */
  readonly startedAt?: string;
}

/** What became of a signal. `gone`: the process has ended, or its pid is somebody else's by now. `refused`: it is another user's. */
export type Sent = "sent" | "gone" | "refused";

/**
 * All processes that a command has brought about: its process group and session, all descendants, and every process whose environment
 * carries the marker, wherever a `setsid` has taken it. Process 1, this process and its ancestors never belong to it.
 */
export class ProcessTree {
  readonly #processes: Processes;
  readonly #marker: string;
  #pid: number | undefined;
  #startedAt: string | undefined;

  constructor({ marker, pid, startedAt }: TreeRoot, processes: Processes) {
    this.#marker = marker;
    this.#pid = pid;
    this.#startedAt = startedAt;
    this.#processes = processes;
  }

  /** What it grows from. */
  get root(): TreeRoot {
    return {
      marker: this.#marker,
      ...(this.#pid === undefined ? {} : { pid: this.#pid }),
      ...(this.#startedAt === undefined ? {} : { startedAt: this.#startedAt }),
    };
  }

  /** The command has started. To be called at once, while nobody else can have its pid. */
  plant(pid: number): void {
    this.#pid = pid;
    this.#startedAt = this.#processes.startOf(pid);
  }

  /** The processes of this moment that have not ended, each after its parent. */
  async look(): Promise<ProcessInfo[]> {
    const all = await this.#processes.list();
    const byPid = new Map(all.map((each) => [each.pid, each]));
    const root = this.#root(byPid);
    const foreign = foreignPids(byPid);
    const ownSession = byPid.get(process.pid)?.session;
    const members = new Map<number, ProcessInfo>();
    const sessions = new Set<number>(root === undefined ? [] : [root]);
    const groups = new Set<number>(root === undefined ? [] : [root]);
    const add = (each: ProcessInfo) => {
      members.set(each.pid, each);
      // All members of a session descend from its leader, and whoever leads one that a process of ours is in is ours.
      if (each.session !== 0 && each.session !== ownSession) sessions.add(each.session);
    };
    let strangers = all.filter(({ pid }) => !foreign.has(pid));
    const take = (belongs: (each: ProcessInfo) => boolean): boolean => {
      const before = strangers.length;
      strangers = strangers.filter((each) => {
        if (!belongs(each)) return true;
        add(each);
        return false;
      });
      return strangers.length < before;
    };
    const related = (each: ProcessInfo) =>
      sessions.has(each.session) || groups.has(each.group) || members.has(each.parent);
    while (take(related));
    // Costs a file for each stranger, so it is asked once.
    if (take((each) => each.hasMarker(this.#marker))) while (take(related));
    return parentsFirst(members).filter(({ state }) => state !== "ended");
  }

  /** Sends a signal to one process, unless the pid is somebody else's by now. */
  signal(target: ProcessInfo, signal: NodeJS.Signals): Sent {
    if (target.pid <= 1 || target.pid === process.pid || !this.#processes.isSame(target)) return "gone";
    return send(target.pid, signal);
  }

  /**
   * Sends a signal to whole process groups: the kernel does that in one step, in which no member can fork away from it. `members` must
   * come from a look of this moment, so that the groups are still theirs.
   */
  signalGroups(members: readonly ProcessInfo[], signal: NodeJS.Signals): void {
    const own = members.filter((each) => this.#processes.isSame(each)).map(({ group }) => group);
    for (const group of new Set(own)) if (group > 1) send(-group, signal);
  }

  /** Sends a signal to the command's process group, as a terminal does. Only while the command itself runs: then the group is its own. */
  signalRoot(signal: NodeJS.Signals): void {
    if (this.#pid === undefined || this.#pid <= 1) return;
    if (this.#startedAt !== undefined && this.#processes.startOf(this.#pid) !== this.#startedAt) return;
    send(-this.#pid, signal);
  }

  /** The command's pid, for as long as it cannot be anybody else's. */
  #root(byPid: ReadonlyMap<number, ProcessInfo>): number | undefined {
    if (this.#pid === undefined) return undefined;
    const holder = byPid.get(this.#pid);
    if (holder && this.#startedAt === undefined) this.#startedAt = holder.startedAt;
    // A pid is not given away while it still names a process group or a session.
    const isOurs = holder
      ? holder.startedAt === this.#startedAt
      : [...byPid.values()].some(({ group, session }) => group === this.#pid || session === this.#pid);
    if (!isOurs) this.#pid = undefined;
    return this.#pid;
  }
}

/** Process 1, the kernel, this process and all that it descends from. */
function foreignPids(byPid: ReadonlyMap<number, ProcessInfo>): Set<number> {
  const foreign = new Set([0, 1, process.pid]);
  for (let each = byPid.get(process.pid); each && each.pid > 1; each = byPid.get(each.parent)) {
    if (foreign.has(each.parent)) break;
    foreign.add(each.parent);
  }
  return foreign;
}

function parentsFirst(members: ReadonlyMap<number, ProcessInfo>): ProcessInfo[] {
  const depths = new Map<string, number>();
  const depthOf = (each: ProcessInfo): number => {
    let depth = 0;
    // Bounded, because a list that is taken while processes come and go may have a circle.
    for (let at = members.get(each.parent); at && depth < members.size; at = members.get(at.parent)) depth++;
    return depth;
  };
  for (const each of members.values()) depths.set(identityOf(each), depthOf(each));
  const depth = (each: ProcessInfo) => depths.get(identityOf(each)) ?? 0;
  return [...members.values()].sort((a, b) => depth(a) - depth(b) || a.pid - b.pid);
}

function send(pid: number, signal: NodeJS.Signals): Sent {
  try {
    process.kill(pid, signal);
    return "sent";
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM" ? "refused" : "gone";
  }
}
