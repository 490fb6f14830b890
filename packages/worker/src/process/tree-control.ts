import { setTimeout as delay } from "node:timers/promises";
import { identityOf, type ProcessInfo } from "./process-info.ts";
import type { ProcessTree } from "./process-tree.ts";

/** A tree that makes processes faster than they can be stopped, or one in an uninterruptible wait, is given up after this, milliseconds. */
const stopWithinMs = 10_000;
const continueWithinMs = 5000;
/** A stopped vfork leaves its parent in an uninterruptible wait until both go on: after this long that counts as standing, milliseconds. */
const blockedStandsAfterMs = 500;
/** After KILL, processes that are still there are named and left, milliseconds. */
const killWithinMs = 5000;
/** Pause between two looks: short at first, since most programs obey at once, milliseconds. */
const shortestPauseMs = 5;
const longestPauseMs = 200;

/** How an ending goes on. */
export interface Ending {
  /** Processes that are left. */
  readonly left: readonly ProcessInfo[];
  /** Until KILL is sent, milliseconds; 0: it was. */
  readonly killInMs: number;
}

/** How processes are ended. */
export interface EndOptions {
  /** On the monotonic clock (`performance.now`), when KILL follows TERM. Asked again and again, since a grace can be cut short. */
  readonly killAtMs: () => number;
  /** Called after each look that found some. */
  readonly onLook?: (ending: Ending) => void;
}

/** Stops, continues and ends all processes of a tree, and says it has only when it has seen it. */
export class TreeControl {
  readonly #tree: ProcessTree;
  /** Identities of processes that stood before they were told to: not ours to continue. */
  #stoodBefore = new Set<string>();
  #isStopped = false;

  constructor(tree: ProcessTree) {
    this.#tree = tree;
  }

  /**
   * Stops every process, parents first, so that none sees its child stand and starts another. Resolves when two looks in a row have
   * found no new process and all stopped. Rejects, with everything continued again, if that cannot be had or `signal` aborts.
   */
  async stop(signal?: AbortSignal): Promise<void> {
    const deadlineMs = performance.now() + stopWithinMs;
    const known = new Set<string>();
    // Stopped twice, what stands may be our own doing.
    const first = !this.#isStopped;
    this.#isStopped = true;
    if (first) this.#stoodBefore = new Set();
    let onlyBlockedSinceMs: number | undefined;
    let quietLooks = 0;
    for (let looks = 0; quietLooks < 2; looks++) {
      const members = await this.#tree.look();
      const nowMs = performance.now();
      const fresh = members.filter((each) => !known.has(identityOf(each)));
      if (first && looks === 0)
        for (const each of members) if (each.state === "stopped") this.#stoodBefore.add(identityOf(each));
      for (const each of fresh) known.add(identityOf(each));
      const moving = members.filter(({ state }) => state !== "stopped");
      const running = moving.filter(({ state }) => state === "running");
      onlyBlockedSinceMs = running.length > 0 ? undefined : (onlyBlockedSinceMs ?? nowMs);
      const stands =
        moving.length === 0 || (onlyBlockedSinceMs !== undefined && nowMs - onlyBlockedSinceMs >= blockedStandsAfterMs);
      quietLooks = stands && fresh.length === 0 ? quietLooks + 1 : 0;
      const refused = moving.filter((each) => this.#tree.signal(each, "SIGSTOP") === "refused");
      // They fork faster than they can be told one by one.
      if (looks > 0 && fresh.length > 0) this.#tree.signalGroups(members, "SIGSTOP");
      const reason =
        refused.length > 0
          ? `not allowed to stop ${namesOf(refused)}`
          : signal?.aborted
            ? "the command is ending"
            : nowMs > deadlineMs
              ? `${namesOf(running.length > 0 ? running : moving)} did not stop within ${stopWithinMs / 1000} s`
              : undefined;
      if (reason !== undefined) {
        await this.#undoStop();
        throw new Error(`the command is not paused: ${reason}`);
      }
      await delay(Math.min(shortestPauseMs * looks, longestPauseMs));
    }
  }

  /**
   * Continues what `stop` has stopped, children first, so that none is seen standing by a parent that runs. Resolves when all have been
   * seen going on. Rejects if one stays stopped.
   */
  async continue(): Promise<void> {
    this.#isStopped = false;
    const deadlineMs = performance.now() + continueWithinMs;
    for (let looks = 0; ; looks++) {
      const members = (await this.#tree.look()).filter((each) => !this.#stoodBefore.has(identityOf(each)));
      const stopped = members.filter(({ state }) => state === "stopped");
      if (looks > 0 && stopped.length === 0) return;
      if (performance.now() > deadlineMs)
        throw new Error(`the command does not go on: ${namesOf(stopped)} stays stopped`);
      // At first to all: one that was told to stop a moment ago may not have done so yet, and this takes it back.
      for (const each of (looks === 0 ? members : stopped).reverse()) this.#tree.signal(each, "SIGCONT");
      await delay(Math.min(shortestPauseMs * looks, longestPauseMs));
    }
  }

  /**
   * Ends every process: TERM to each once, parents first, so that no script goes on with its next step; CONT to those that stand; KILL
   * to all that are left when the grace is over. Resolves when two looks in a row have found none, or, some seconds after KILL, with
   * those that stay.
   */
  async end({ killAtMs, onLook }: EndOptions): Promise<ProcessInfo[]> {
    const told = new Set<string>();
    let quietLooks = 0;
    let killedAtMs: number | undefined;
    for (let looks = 0; quietLooks < 2; looks++) {
      const left = await this.#tree.look();
      quietLooks = left.length === 0 ? quietLooks + 1 : 0;
      const nowMs = performance.now();
      if (nowMs >= killAtMs() && left.length > 0) {
        killedAtMs ??= nowMs;
        if (nowMs - killedAtMs >= killWithinMs) return left;
        this.#tree.signalGroups(left, "SIGKILL");
        for (const each of left) this.#tree.signal(each, "SIGKILL");
      } else {
        for (const each of left) if (!told.has(identityOf(each))) this.#tree.signal(each, "SIGTERM");
        for (const each of left) if (each.state === "stopped") this.#tree.signal(each, "SIGCONT");
        for (const each of left) told.add(identityOf(each));
      }
      if (left.length > 0) onLook?.({ left, killInMs: killedAtMs === undefined ? Math.max(0, killAtMs() - nowMs) : 0 });
      const untilKillMs = killedAtMs === undefined ? Math.max(0, killAtMs() - nowMs) : Infinity;
      await delay(Math.min(shortestPauseMs * looks, longestPauseMs, untilKillMs));
    }
    return [];
  }

  /** Leaves nothing half stopped. */
  async #undoStop(): Promise<void> {
    await this.continue().catch(() => undefined);
  }
}

/** Pids and names of a few processes, for people. */
export function namesOf(processes: readonly ProcessInfo[]): string {
  const named = processes.slice(0, 5).map(({ pid, name }) => `${pid} (${name})`);
  if (processes.length > named.length) named.push(`${processes.length - named.length} more`);
  return named.join(", ");
}
