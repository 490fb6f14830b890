import type { Client } from "@connectrpc/connect";
import {
  BulkState,
  type BulkCommand,
  type BulkRecord,
  type BulkService,
  type PreviewBulkResponse,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { SvelteMap, SvelteSet } from "svelte/reactivity";
import { refusalText } from "../../live/refusal.ts";
import type { Watched } from "../../live/watch-link.ts";

/** How long one that ended without a refusal stays in sight, milliseconds. */
const shownEndedMs = 30_000;

/** Commands to many, of everybody: what is held, what is under way, what has just ended; and what this page asks of them. */
export class BulkRoom implements Watched {
  readonly id = "bulks";
  readonly #client: Client<typeof BulkService>;
  readonly #records = new SvelteMap<string, BulkRecord>();
  /** Those that ended before this page came are history. */
  readonly #old = new SvelteSet<string>();
  readonly #closed = new SvelteSet<string>();
  readonly #faults = new SvelteMap<string, string>();
  /** How many jobs were meant to change, of those that this page gave. */
  readonly #meant = new SvelteMap<string, number>();
  #complete = false;

  constructor(client: Client<typeof BulkService>) {
    this.#client = client;
  }

  /** What is to be seen at `nowMs` of the server's clock, oldest first: the places of those that are there stay. */
  shown(nowMs: number): BulkRecord[] {
    return [...this.#records.values()]
      .filter((bulk) => !this.#closed.has(bulk.id) && !this.#old.has(bulk.id) && this.#isShown(bulk, nowMs))
      .sort((a, b) => Number(a.createdAtUs - b.createdAtUs));
  }

  /** Why the newest thing that was asked of it did not happen. */
  fault(bulkId: string): string | undefined {
    return this.#faults.get(bulkId);
  }

  /** How many jobs it was meant to change when it was given, if that was here. */
  meant(bulkId: string): number | undefined {
    return this.#meant.get(bulkId);
  }

  /** Has one that ended out of sight, on this page. */
  close(bulkId: string): void {
    this.#closed.add(bulkId);
  }

  /** What a command would do now. Rejects with the reason. */
  async preview(jobIds: readonly string[], command: BulkCommand, signal: AbortSignal): Promise<PreviewBulkResponse> {
    try {
      return await this.#client.previewBulk({ selection: selectionOf(jobIds), command }, { signal });
    } catch (error) {
      throw new Error(refusalText(error), { cause: error });
    }
  }

  /**
   * Gives a command to many jobs after a time in which everybody can undo it; `meant` is how many of them it was said to change. Rejects with
   * the reason.
   */
  async start(
    jobIds: readonly string[],
    command: BulkCommand,
    holdMs: number,
    meant: number,
  ): Promise<BulkRecord | undefined> {
    try {
      const { bulk } = await this.#client.startBulk({
        ...{ requestId: crypto.randomUUID(), selection: selectionOf(jobIds), command, holdMs },
      });
      if (bulk) {
        this.#meant.set(bulk.id, meant);
        this.#learn(bulk);
      }
      return bulk;
    } catch (error) {
      throw new Error(refusalText(error), { cause: error });
    }
  }

  /** Does not hold it any longer. */
  release(bulkId: string): void {
    void this.#ask(bulkId, () => this.#client.releaseBulk({ bulkId }));
  }

  /** Takes it back while it is held. */
  undo(bulkId: string): void {
    void this.#ask(bulkId, () => this.#client.undoBulk({ bulkId }));
  }

  /** Stops it half-way. */
  stop(bulkId: string): void {
    void this.#ask(bulkId, () => this.#client.stopBulk({ bulkId }));
  }

  /** Its record with what became of each job. Rejects with the reason. */
  async report(bulkId: string, signal: AbortSignal): Promise<BulkRecord | undefined> {
    try {
      return (await this.#client.getBulk({ bulkId }, { signal })).bulk;
    } catch (error) {
      throw new Error(refusalText(error), { cause: error });
    }
  }

  kind(): Subscription["kind"] {
    return { case: "bulks", value: { $typeName: "signalbox.v1.BulksSubscription" } };
  }

  apply(message: WatchResponse["message"]): void {
    switch (message.case) {
      case "bulks":
        for (const bulk of message.value.records) {
          if (!this.#complete && bulk.endedAtUs > 0n && !this.#records.has(bulk.id)) this.#old.add(bulk.id);
          this.#learn(bulk);
        }
        for (const id of message.value.gone) this.#records.delete(id);
        break;
      case "caughtUp":
        this.#complete = true;
        break;
      default:
        break;
    }
  }

  #isShown(bulk: BulkRecord, nowMs: number): boolean {
    if (bulk.endedAtUs === 0n || bulk.refused > 0) return true;
    return nowMs - Number(bulk.endedAtUs) / 1000 < shownEndedMs;
  }

  /** An answer and the stream's word overtake each other: the one that has come further counts. */
  #learn(bulk: BulkRecord): void {
    const known = this.#records.get(bulk.id);
    if (known && progressOf(bulk) < progressOf(known)) return;
    this.#records.set(bulk.id, bulk);
  }

  async #ask(bulkId: string, call: () => Promise<{ bulk?: BulkRecord | undefined }>): Promise<void> {
    this.#faults.delete(bulkId);
    try {
      const { bulk } = await call();
      if (bulk) this.#learn(bulk);
    } catch (error) {
      this.#faults.set(bulkId, refusalText(error));
    }
  }
}

/** Only rises in the life of commands to many. */
function progressOf({ state, accepted, skipped, refused }: BulkRecord): number {
  const step = state === BulkState.HELD ? 0 : state === BulkState.RUNNING ? 1 : 2;
  return step * 1e6 + accepted + skipped + refused;
}

function selectionOf(jobIds: readonly string[]) {
  return { jobs: { case: "ids" as const, value: { ids: [...jobIds] } } };
}
