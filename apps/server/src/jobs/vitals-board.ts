import { clone, create, toBinary } from "@bufbuild/protobuf";
import { VitalsSchema, type Vitals } from "@signalbox/protocol";
import { Changes } from "../changes.ts";

interface Slot {
  vitals: Vitals;
  encoded: Uint8Array | undefined;
}

/** So many jobs that have ended are kept, so that who watches sees their last vitals. Their records hold them for good. */
const keptEnded = 1_000;

/**
 * The newest vitals of each job, in memory only. Readers ask what changed since the version that they have seen, at their own pace;
 * a vitals message is encoded once, however many read it.
 */
export class VitalsBoard {
  readonly #slots = new Map<string, Slot>();
  readonly #changes = new Changes();
  /** Who hears of each change of a job's vitals. */
  readonly #watchers = new Map<string, () => void>();
  /** Jobs that have ended, the oldest end first. */
  readonly #ended = new Set<string>();

  /** Rises with every change. */
  get version(): number {
    return this.#changes.version;
  }

  /** A copy of a job's vitals, as they are now. */
  get(jobId: string): Vitals | undefined {
    const slot = this.#slots.get(jobId);
    return slot && clone(VitalsSchema, slot.vitals);
  }

  /** A job's vitals to look at; never change them. */
  peek(jobId: string): Readonly<Vitals> | undefined {
    return this.#slots.get(jobId)?.vitals;
  }

  /** Changes a job's vitals in place; `change` gets the present ones, or empty ones. */
  change(jobId: string, change: (vitals: Vitals) => void): void {
    let slot = this.#slots.get(jobId);
    if (!slot) this.#slots.set(jobId, (slot = { vitals: create(VitalsSchema, { jobId }), encoded: undefined }));
    change(slot.vitals);
    slot.encoded = undefined;
    this.#changes.touch(jobId);
    if (this.#watchers.size > 0) this.#watchers.get(jobId)?.();
  }

  /** Calls `look` after each change of a job's vitals; one a job. Returns what ends that. */
  watch(jobId: string, look: () => void): () => void {
    this.#watchers.set(jobId, look);
    return () => {
      if (this.#watchers.get(jobId) === look) this.#watchers.delete(jobId);
    };
  }

  /** Begins a new attempt: what was measured of the one before is forgotten. */
  begin(jobId: string, attempt: number): void {
    this.#slots.delete(jobId);
    this.#ended.delete(jobId);
    this.change(jobId, (vitals) => (vitals.attempt = attempt));
  }

  /** Sets vitals that were read from the store. */
  restore(vitals: Vitals): void {
    this.change(vitals.jobId, (empty) => Object.assign(empty, clone(VitalsSchema, vitals)));
  }

  /** The job has ended: its vitals are forgotten some time after, when newer ones have ended. */
  retire(jobId: string): void {
    this.#ended.delete(jobId);
    this.#ended.add(jobId);
    const [oldest] = this.#ended;
    if (this.#ended.size <= keptEnded || oldest === undefined) return;
    this.#ended.delete(oldest);
    this.#slots.delete(oldest);
    this.#changes.forget(oldest);
  }

  /** Encoded vitals of the jobs that changed after `version` (0: of all jobs), and of `only`, if it is given, nothing else. */
  changedSince(version: number, only?: string): Uint8Array[] {
    const changed = only === undefined ? this.#changes.since(version) : this.#changes.of(only) > version ? [only] : [];
    return changed.flatMap((jobId) => {
      const slot = this.#slots.get(jobId);
      return slot ? [this.#encode(slot)] : [];
    });
  }

  #encode(slot: Slot): Uint8Array {
    return (slot.encoded ??= toBinary(VitalsSchema, slot.vitals));
  }
}
