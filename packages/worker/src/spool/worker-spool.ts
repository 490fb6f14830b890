import { rename, rmdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { exact } from "@signalbox/protocol/format";
import { makeFolder } from "@signalbox/protocol/make-folder";
import { AttemptFiles, SEGMENT_BYTES } from "./attempt-files.ts";
import type { LineQueue } from "./line-queue.ts";
import { folderName, NOBODY, ownToken } from "./owners.ts";
import { seedOf } from "./records.ts";
import type { SpoolConfig } from "./spool-config.ts";
import { encodeNote, type SpoolNote } from "./spool-note.ts";

/** What has waited for so long goes to the disk; the longest that a power failure costs, milliseconds. */
const tidyEveryMs = 1000;
/** That the files cannot be written, or lines are dropped, is not said again before, milliseconds. */
const sayAgainMs = 60_000;
/** So that processes that cannot see this one know that it lives, milliseconds. */
const touchEveryMs = 15_000;

/** Which process writes a spool. */
export type SpoolWriter = Pick<SpoolNote, "workerId" | "incarnation" | "transient" | "urls">;

/** The spool of one attempt, as its log sees it. */
export interface AttemptSpool {
  readonly files: AttemptFiles;
  /** What the files say of the attempt changes. They have to be told. */
  describe(part: Partial<SpoolNote>): void;
  /** A queue stands on the files until it is given up. */
  open(queue: LineQueue): void;
  close(queue: LineQueue): void;
  /** The files cannot be written, or again they can. */
  trouble(reason: string | undefined): void;
  /** The spool is full, and so many lines were dropped. */
  dropped(lines: number): void;
  /** Lines in the files cannot be read. */
  unreadable(reason: string): void;
}

/** What a spool tells its worker. */
export interface WorkerSpoolHost {
  /** Something that the worker's owner should know. */
  notice(message: string): void;
  /** The files cannot be written, or again they can. */
  broken(isBroken: boolean): void;
}

/**
 * The spool of one worker process: a folder of its own, which is made with the first line, and a set of files for each attempt. What is
 * left in it when the process is gone is delivered by another one.
 */
export class WorkerSpool {
  readonly config: SpoolConfig;
  readonly #writer: SpoolWriter;
  readonly #host: WorkerSpoolHost;
  readonly #queues = new Set<LineQueue>();
  readonly #timers: NodeJS.Timeout[];
  #folder: Promise<string> | undefined;
  #attempts = 0;
  #isBroken = false;
  /** What was said last, and when it was said that it cannot be written. */
  #wasSaid = false;
  #saidAtMs = -Infinity;
  #droppedLines = 0;
  #saidDroppedAtMs = -Infinity;

  constructor(config: SpoolConfig, writer: SpoolWriter, host: WorkerSpoolHost) {
    this.config = config;
    this.#writer = writer;
    this.#host = host;
    const tidy = () => {
      // What cannot be synced or removed is tried again.
      for (const queue of this.#queues) void queue.tidy().catch(() => undefined);
    };
    this.#timers = [setInterval(tidy, tidyEveryMs), setInterval(() => void this.#touch(), touchEveryMs)];
    for (const timer of this.#timers) timer.unref();
  }

  /** How many lines were dropped because it was full. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** The spool of an attempt that begins. */
  attempt(about: Pick<SpoolNote, "type" | "name">): AttemptSpool {
    let note: SpoolNote = {
      ...this.#writer,
      ...about,
      begunAtMs: Date.now(),
      jobId: "",
      attempt: 0,
      storeId: "",
      request: "",
      end: "",
    };
    const files = new AttemptFiles({
      folder: () => this.#open(),
      prefix: String(++this.#attempts).padStart(6, "0"),
      seed: seedOf(this.#writer.incarnation),
      // Lines are dropped by the segment: it is to be a small part of all.
      segmentBytes: Math.min(SEGMENT_BYTES, Math.floor(this.config.bytes / 16)),
      note: () => encodeNote(note),
      onFolderGone: () => (this.#folder = undefined),
      onDamage: ({ path }) => this.#host.notice(`a segment of the spool is damaged and was set aside: ${path}`),
    });
    return {
      files,
      describe: (part) => (note = { ...note, ...part }),
      open: (queue) => void this.#queues.add(queue),
      close: (queue) => void this.#queues.delete(queue),
      trouble: (reason) => this.#trouble(reason),
      dropped: (lines) => this.#dropped(lines),
      unreadable: (reason) =>
        this.#host.notice(`lines of the spool in ${this.config.folder} cannot be read: ${reason}`),
    };
  }

  /** No attempt will write any more. What is not delivered is left to others. Never rejects. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const queue of this.#queues) await queue.close({ keepFiles: true }).catch(() => undefined);
    const folder = await this.#folder?.catch(() => undefined);
    if (folder === undefined) return;
    try {
      await rmdir(folder);
    } catch {
      // Something is left in it.
      await rename(folder, join(this.config.folder, this.#name(NOBODY))).catch(() => undefined);
    }
  }

  #open(): Promise<string> {
    this.#folder ??= this.#make().catch((error: unknown) => {
      this.#folder = undefined;
      throw error;
    });
    return this.#folder;
  }

  async #make(): Promise<string> {
    const folder = join(this.config.folder, this.#name(ownToken()));
    // Two attempts may find at the same time that it has been removed.
    await makeFolder(folder);
    return folder;
  }

  #name(owner: string): string {
    return folderName({ ...this.#writer, owner });
  }

  async #touch(): Promise<void> {
    const folder = await this.#folder?.catch(() => undefined);
    const now = new Date();
    // It may just have been removed.
    if (folder !== undefined) await utimes(folder, now, now).catch(() => undefined);
  }

  #dropped(lines: number): void {
    if (lines === 0) return;
    this.#droppedLines += lines;
    const nowMs = performance.now();
    if (nowMs - this.#saidDroppedAtMs < sayAgainMs) return;
    this.#saidDroppedAtMs = nowMs;
    const { folder, whenFull } = this.config;
    const which = whenFull === "drop-oldest" ? "its oldest lines" : "its oldest lines of the levels DEBUG and TRACE";
    this.#host.notice(`the spool in ${folder} is full, and ${which} are dropped: ${exact(this.#droppedLines)} so far`);
  }

  #trouble(reason: string | undefined): void {
    const isBroken = reason !== undefined;
    if (isBroken === this.#isBroken) return;
    this.#isBroken = isBroken;
    this.#host.broken(isBroken);
    // A disk that is nearly full takes this and refuses that: it is said once.
    const nowMs = performance.now();
    if (isBroken && nowMs - this.#saidAtMs < sayAgainMs) return;
    if (isBroken === this.#wasSaid) return;
    this.#wasSaid = isBroken;
    if (isBroken) this.#saidAtMs = nowMs;
    this.#host.notice(
      isBroken
        ? `the spool in ${this.config.folder} cannot be written (${reason}): lines wait in memory only, until it can`
        : `the spool in ${this.config.folder} can be written again`,
    );
  }
}
