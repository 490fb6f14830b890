import { statfs } from "node:fs/promises";
import { pause } from "../../pause.ts";
import { HealthBoard } from "../health.ts";

/** How often the free space is looked at, milliseconds. */
const lookEveryMs = 2_000;
/** While there is no room it is looked for after so long, then after twice that, and so on up to the most, milliseconds. */
const firstProbeMs = 100;
const mostProbeMs = 2_000;
/** Little space is left below this, and below a tenth of the disk. */
const lowBytes = 1024 * 1024 * 1024;
const lowShare = 0.1;
/** So much more must be free until it is not little any more. */
const lowHysteresis = 1.2;
/** There is room again when so much is free, or a 32nd of the disk if that is less: else the next commit would be refused again. */
const roomBytes = 8 * 1024 * 1024;
const roomShare = 1 / 32;
/** SQLite and who writes beside it may need a new file now and then. */
const fewInodes = 10;

interface Parts {
  /** Where the store lies. */
  readonly folder: string;
  /** Takes space for the reserve as far as there is any; resolves with how much it lacks then, bytes. */
  readonly fillReserve: () => Promise<number>;
  /** Says a change in the log. */
  readonly say: (level: "info" | "warn" | "error", text: string, freeBytes: number | undefined) => void;
}

/** What the disk says of itself. */
interface Disk {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Undefined where the file system has no fixed number of them. */
  readonly freeInodes: number | undefined;
}

/**
 * Whether there is room on the disk for lines. When a commit of lines is refused, or the reserve for commands is in use, lines wait: the
 * reserve is filled first, then the refused commit is tried again.
 */
export class Room {
  readonly health = new HealthBoard();
  readonly #parts: Parts;
  readonly #stop = new AbortController();
  /** Whoever waits to try a commit. */
  #waiting: ((go: boolean) => void) | undefined;
  /** Told how the try went. */
  #tried: ((stored: boolean) => void) | undefined;
  #isProbing = false;
  /** The disk is full, as it says itself; else it refuses for another reason, and what it says is free means nothing. */
  #isFull = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Begins to look at the disk. */
  async start(): Promise<void> {
    await this.#look();
    const timer = setInterval(() => void this.#look(), lookEveryMs);
    timer.unref();
    this.#stop.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  /** Whether a commit of lines may be tried without waiting. */
  get isOpen(): boolean {
    return this.health.current.state !== "full";
  }

  /** Resolves when a commit of lines shall be tried, with false if it shall be given up; then say with {@link tried} what came of it. */
  async wait(): Promise<boolean> {
    if (this.#stop.signal.aborted) return false;
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  /** How the commit went that was waiting. */
  tried(stored: boolean): void {
    this.#tried?.(stored);
    this.#tried = undefined;
  }

  /** A commit of lines was refused; `isFull` if that is for lack of space. */
  refused(reason: string, isFull: boolean): void {
    this.#full(isFull, reason);
  }

  /** So many bytes of the reserve for commands are in use. */
  reserveLacks(bytes: number): void {
    if (bytes > 0 && this.isOpen) this.#full(true, "");
  }

  /** Ends all waiting; nothing waits any more from now on. */
  stop(): void {
    this.#stop.abort();
    this.#waiting?.(false);
    this.#waiting = undefined;
    this.tried(false);
  }

  #full(isFull: boolean, reason: string): void {
    this.#isFull = isFull;
    const { folder } = this.#parts;
    const what = isFull
      ? `No space is left on the disk of the data folder ${folder}`
      : `The disk refuses what is written to the data folder ${folder} (${reason})`;
    const fix = isFull ? "Free space" : "Look after the disk";
    this.#set(
      "full",
      `${what}: lines are not taken, workers keep theirs. Commands still go as long as their reserve lasts. ${fix}; then it goes on by itself.`,
    );
    void this.#disk();
    if (!this.#isProbing) void this.#probe();
  }

  /** Looks for room until there is some. */
  async #probe(): Promise<void> {
    this.#isProbing = true;
    const { signal } = this.#stop;
    for (let pauseMs = firstProbeMs; !signal.aborted; pauseMs = Math.min(2 * pauseMs, mostProbeMs)) {
      await pause(pauseMs, signal);
      // The store is closing or has failed: whoever waits hears that from there.
      const lacks = await this.#parts.fillReserve().catch(() => Infinity);
      const disk = await this.#disk();
      if (lacks > 0 || signal.aborted) continue;
      if (this.#isFull && disk && disk.freeBytes < Math.min(roomBytes, disk.totalBytes * roomShare)) continue;
      if (!(await this.#try())) continue;
      this.#isProbing = false;
      this.#judge(disk, "There is room on the disk again: lines are taken.");
      return;
    }
  }

  /** Has the waiting commit tried, if one waits. */
  async #try(): Promise<boolean> {
    const go = this.#waiting;
    if (!go) return true;
    this.#waiting = undefined;
    return new Promise((resolve) => {
      this.#tried = resolve;
      go(true);
    });
  }

  async #look(): Promise<void> {
    const disk = await this.#disk();
    if (this.isOpen && !this.#stop.signal.aborted)
      this.#judge(disk, "There is enough space on the disk of the data folder again.");
  }

  /** Says whether little is left, or enough; `better` is what the log is told then. */
  #judge(disk: Disk | undefined, better: string): void {
    const low = disk && whyLow(disk, this.health.current.state === "low");
    if (low === undefined) this.#set("ok", "", better);
    else
      this.#set(
        "low",
        `${low} on the disk of the data folder ${this.#parts.folder}. Everything still works: free space before none is left.`,
      );
  }

  #set(state: "ok" | "low" | "full", detail: string, text = detail): void {
    const level = { ok: "info", low: "warn", full: "error" } as const;
    if (this.health.set(state, detail, Date.now() * 1000)) this.#parts.say(level[state], text, this.health.freeBytes);
  }

  /** Asks the disk; undefined where it does not say. */
  async #disk(): Promise<Disk | undefined> {
    try {
      const { bavail, blocks, bsize, files, ffree } = await statfs(this.#parts.folder);
      this.health.freeBytes = bavail * bsize;
      return {
        freeBytes: bavail * bsize,
        totalBytes: blocks * bsize,
        freeInodes: files > 0 ? ffree : undefined,
      };
    } catch {
      this.health.freeBytes = undefined;
      return undefined;
    }
  }
}

function whyLow({ freeBytes, totalBytes, freeInodes }: Disk, wasLow: boolean): string | undefined {
  const margin = wasLow ? lowHysteresis : 1;
  if (freeBytes < Math.min(lowBytes, totalBytes * lowShare) * margin)
    return `Only ${Math.floor(freeBytes / 1e6).toLocaleString("en")} MB are left`;
  if (freeInodes !== undefined && freeInodes < fewInodes * margin) return `Only ${freeInodes} new files are possible`;
  return undefined;
}
