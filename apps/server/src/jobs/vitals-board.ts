import { clone, create, toBinary } from "@bufbuild/protobuf";
import { VitalsSchema, type Vitals } from "@signalbox/protocol";
import { Changes } from "../changes.ts";

/** Changes vitals in place. */
type Change = (vitals: Vitals) => void;

interface Slot {
  vitals: Vitals;
  encoded: Uint8Array | undefined;
  /** What is still to be done to the vitals, by whoever looks at them first. */
  pending: Change | undefined;
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

  /** Rises with every change, but not with one that is left for who reads and takes the place of another such. */
  get version(): number {
    return this.#changes.version;
  }

  /** A copy of a job's vitals, as they are now. */
  get(jobId: string): Vitals | undefined {
    const slot = this.#slots.get(jobId);
    return slot && copyOf(settled(slot));
  }

  /** A job's vitals to look at; never change them. */
  peek(jobId: string): Readonly<Vitals> | undefined {
    const slot = this.#slots.get(jobId);
    return slot && settled(slot);
  }

  /** Changes a job's vitals in place; `change` gets the present ones, or empty ones. */
  change(jobId: string, change: Change): void {
    const slot = this.#slot(jobId);
    change(settled(slot));
    slot.encoded = undefined;
    this.#changes.touch(jobId);
    this.#wake(jobId);
  }

  /**
   * Like {@link change}, but the change is made when somebody looks, and only the last of those that were left: for what comes far more often
   * than it is looked at, and tells the newest state of always the same fields. A reader takes {@link version} after it has read.
   */
  changeWhenRead(jobId: string, change: Change): void {
    const slot = this.#slot(jobId);
    // Another one, of the attempt before, may tell other things.
    if (slot.pending !== change) settled(slot);
    const isKnown = slot.pending !== undefined;
    slot.pending = change;
    // Who has not looked since the last touch will.
    if (!isKnown) this.#changes.touch(jobId);
    this.#wake(jobId);
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

  #slot(jobId: string): Slot {
    let slot = this.#slots.get(jobId);
    if (!slot) {
      slot = { vitals: create(VitalsSchema, { jobId }), encoded: undefined, pending: undefined };
      this.#slots.set(jobId, slot);
    }
    return slot;
  }

  #wake(jobId: string): void {
    if (this.#watchers.size > 0) this.#watchers.get(jobId)?.();
  }

  #encode(slot: Slot): Uint8Array {
    const vitals = settled(slot);
    return (slot.encoded ??= toBinary(VitalsSchema, vitals));
  }
}

/** The vitals of a slot, with what was left to be done to them. */
function settled(slot: Slot): Vitals {
  const { pending, vitals } = slot;
  if (pending) {
    slot.pending = undefined;
    slot.encoded = undefined;
    pending(vitals);
  }
  return vitals;
}

/** A copy as deep as vitals are changed in place. By reflection it would cost as much as to encode the record of the job that it goes into. */
function copyOf(vitals: Vitals): Vitals {
  const { link, levelCounts } = vitals;
  return { ...vitals, levelCounts: [...levelCounts], ...(link ? { link: { ...link } } : {}) };
}
