import type { Client } from "@connectrpc/connect";
import type { WorkerService } from "@signalbox/protocol";
import { exact, plural } from "@signalbox/protocol/format";
import { messageOf } from "../errors.ts";
import { pushLogs } from "../push-logs.ts";
import type { Wire } from "../wire.ts";
import { LinesUnknown } from "../unacked-lines.ts";
import {
  claimSpool,
  listSpools,
  openAttempt,
  readSpool,
  releaseSpool,
  type LeftAttempt,
  type LeftSpool,
} from "./left-spools.ts";
import type { AttemptFiles } from "./attempt-files.ts";
import type { SpoolNote } from "./spool-note.ts";
import { SpooledLog } from "./spooled-log.ts";

/** What became of what was left of an attempt. `waiting`: the link broke, or the server is not the one that knows it. */
export type Delivered = "delivered" | "refused" | "waiting";

/** What is delivered in the name of the process that left it. */
export interface NamedWork {
  readonly note: SpoolNote;
  readonly left: LeftAttempt;
  readonly files: AttemptFiles;
  readonly signal: AbortSignal;
}

/** Where spools are, and where their lines go. */
export interface SpoolDeliveryOptions {
  readonly folder: string;
  /** The store of the server: attempts of others are left alone. */
  readonly storeId: string;
  /** The addresses by which the server is known: jobs that began under others are not asked for here. Undefined: all are. */
  readonly urls: readonly string[] | undefined;
  /** What all streams of the link have on the wire. */
  readonly wire: Wire;
  readonly client: Client<typeof WorkerService>;
  /** Delivers in the name of the process that is gone. Rejects if the server does not take it. */
  readonly inItsName: (work: NamedWork) => Promise<void>;
  /** Aborts when the link ends, or nobody waits any more. */
  readonly signal: AbortSignal;
  /** Something that people should know. */
  readonly notice: (message: string) => void;
  /** Lines of an attempt were delivered. */
  readonly progress?: (left: LeftAttempt, ackedLine: number) => void;
  /** Called with what became of each attempt of this store. */
  readonly result?: (left: LeftAttempt, delivered: Delivered, reason: string) => void;
}

/**
 * Delivers what processes that are gone have left in a folder of spools, if it is for this server. What is delivered is removed, what is
 * not is left where it is. A spool whose owner lives is not touched.
 *
 * Lines of an attempt that the server knows are delivered for the process that wrote them. Where that process alone could say more, it is
 * done in its name: a job that began there and that the server does not know is asked for, and an end that was written down is told. Only
 * names that mean one process are taken on; another could have come back under its own.
 */
export class SpoolDelivery {
  readonly #options: SpoolDeliveryOptions;

  constructor(options: SpoolDeliveryOptions) {
    this.#options = options;
  }

  /** Delivers all that it finds, one after the other. Never rejects. */
  async run(): Promise<void> {
    const { folder, signal } = this.#options;
    for (const spool of await this.#listed(folder)) {
      if (signal.aborted) return;
      if (spool.owner === "alive" || !(await this.#isWanted(spool))) continue;
      try {
        await this.deliver(spool);
      } catch (error) {
        this.#options.notice(`the spool ${spool.path} was not delivered: ${messageOf(error)}`);
      }
    }
  }

  /** Delivers what this store knows of one spool. Returns false if somebody else has it. Rejects if its files cannot be read. */
  async deliver(spool: LeftSpool): Promise<boolean> {
    const path = await claimSpool(spool);
    if (path === undefined) return false;
    try {
      for (const left of await readSpool(path)) {
        if (this.#options.signal.aborted) break;
        if (left.note && this.#isForHere(left.note)) await this.#deliverAttempt(left, left.note);
      }
    } finally {
      await releaseSpool(path, spool.name);
    }
    return true;
  }

  async #listed(folder: string): Promise<LeftSpool[]> {
    try {
      return await listSpools(folder);
    } catch (error) {
      this.#options.notice(`the spools in ${folder} cannot be read: ${messageOf(error)}`);
      return [];
    }
  }

  async #isWanted({ path }: LeftSpool): Promise<boolean> {
    try {
      return (await readSpool(path)).some(({ note }) => note && this.#isForHere(note));
    } catch {
      // Somebody has just taken it over.
      return false;
    }
  }

  #isForHere({ jobId, storeId, request, urls, transient }: SpoolNote): boolean {
    if (jobId !== "") return storeId === this.#options.storeId;
    const here = this.#options.urls;
    return transient && request !== "" && (!here || urls.some((url) => here.includes(url)));
  }

  async #deliverAttempt(left: LeftAttempt, note: SpoolNote): Promise<void> {
    const { notice } = this.#options;
    const key = note.jobId === "" ? `the job ${JSON.stringify(note.name)}` : `${note.jobId}/${note.attempt}`;
    const files = await openAttempt(left, (path) =>
      notice(`a segment of the spool is damaged and was set aside: ${path}`),
    );
    const isNamed = note.transient && (note.jobId === "" || note.end !== "");
    const { delivered, reason } = isNamed
      ? await this.#deliverNamed({ note, left, files, signal: this.#options.signal })
      : await this.#deliverLines(left, note, files, notice);
    const lines = left.nextLine - left.ackedLine;
    if (delivered === "delivered" && lines > 0)
      notice(`${key}: what ${note.workerId} had left in its spool is delivered, ${leftWords(left)}`);
    if (delivered === "refused")
      notice(`${key}: what ${note.workerId} left in its spool stays there, the server does not take it: ${reason}`);
    this.#options.result?.(left, delivered, reason);
  }

  async #deliverNamed(work: NamedWork): Promise<{ delivered: Delivered; reason: string }> {
    try {
      await this.#options.inItsName(work);
      // Its log removes the files in the background: they must be gone before the folder is given back under another name.
      await work.files.clear();
      return { delivered: "delivered", reason: "" };
    } catch (error) {
      return { delivered: work.signal.aborted ? "waiting" : "refused", reason: messageOf(error) };
    }
  }

  async #deliverLines(
    left: LeftAttempt,
    { jobId, attempt, incarnation }: SpoolNote,
    files: AttemptFiles,
    notice: (message: string) => void,
  ): Promise<{ delivered: Delivered; reason: string }> {
    const { client, wire, signal, progress } = this.#options;
    const log = new SpooledLog(files, left, (reason) => notice(`lines of the spool cannot be read: ${reason}`));
    const watch = setInterval(() => progress?.(left, log.ackedLine), progressEveryMs);
    let refusal: string | undefined;
    try {
      refusal = await pushLogs({
        log,
        jobId,
        attempt,
        incarnation,
        spooled: true,
        endsWhenRefused: () => true,
        client,
        wire,
        signal,
        notice: (message) => notice(`${jobId}/${attempt}: ${message}`),
      });
    } catch (error) {
      if (!(error instanceof LinesUnknown)) throw error;
      // It has all of these, and more that another process has delivered.
      log.ack(log.nextLine);
    } finally {
      clearInterval(watch);
    }
    const isDone = log.isDrained;
    await log.close({ keepFiles: !isDone });
    if (isDone) return { delivered: "delivered", reason: "" };
    return refusal === undefined ? { delivered: "waiting", reason: "" } : { delivered: "refused", reason: refusal };
  }
}

/** `3,448 lines; 4,550 had been dropped`: what is left of an attempt, and what is missing of it. */
export function leftWords({ nextLine, ackedLine, lostLines, droppedLines, isEndDamaged }: LeftAttempt): string {
  return (
    plural(nextLine - ackedLine - lostLines - droppedLines, "line") +
    (droppedLines > 0 ? `; ${exact(droppedLines)} had been dropped` : "") +
    (lostLines > 0 ? `; ${exact(lostLines)} are lost by damage` : "") +
    (isEndDamaged ? "; its end is damaged, and lines behind it may be lost" : "")
  );
}

const progressEveryMs = 200;
