import { create, toBinary } from "@bufbuild/protobuf";
import {
  WorkerAttemptSchema,
  WorkerLinkSchema,
  WorkerLinkState,
  WorkerVitalsSchema,
  type WorkerVitals,
} from "@signalbox/protocol";
import { Changes } from "../changes.ts";
import type { Job } from "../jobs/job.ts";
import { openAttempt } from "../jobs/job-record.ts";
import { noFigures, sameFigures, type LinkFigures } from "./link-figures.ts";
import type { WorkerSession } from "./worker-session.ts";

/** What was measured of a worker is told at most so often. */
const measuredEveryMs = 1_000;

interface Slot {
  state: WorkerLinkState;
  connected: boolean;
  /** It left on purpose: without an attempt it has no link. */
  left: boolean;
  heardAtUs: number;
  roundTripUs: number;
  figures: LinkFigures;
  clockOffsetUs: number;
  /** When it was changed for the readers last, monotonic milliseconds. */
  changedAtMs: number;
  encoded: Uint8Array | undefined;
}

/**
 * How workers are heard and what they run, in memory only, newest only. Made and encoded once for each change, however many read it.
 * Times are monotonic milliseconds and server clock in microseconds.
 */
export class WorkerBoard {
  readonly #attemptsOf: (workerId: string) => readonly Job[];
  readonly #monotonic: () => number;
  readonly #slots = new Map<string, Slot>();
  readonly #changes = new Changes();
  /** Workers with newer measurements than the readers were told. */
  readonly #measured = new Set<string>();

  constructor(attemptsOf: (workerId: string) => readonly Job[], monotonic: () => number) {
    this.#attemptsOf = attemptsOf;
    this.#monotonic = monotonic;
  }

  /** Rises with every change. */
  get version(): number {
    return this.#changes.version;
  }

  /** A worker that has not been heard in this server's life, but has an open attempt. */
  restore(workerId: string, isLost: boolean): void {
    const slot = this.#slotOf(workerId);
    if (slot.state !== WorkerLinkState.SILENT) slot.state = isLost ? WorkerLinkState.LOST : WorkerLinkState.SILENT;
    this.#change(workerId, slot);
  }

  /** Its process has connected. */
  connect(session: WorkerSession, nowUs: number): void {
    const slot = this.#slotOf(session.workerId);
    slot.connected = true;
    slot.left = false;
    slot.state = WorkerLinkState.CONNECTED;
    slot.heardAtUs = nowUs;
    slot.roundTripUs = session.roundTripUs;
    slot.figures = session.figures;
    slot.clockOffsetUs = session.clockOffsetUs;
    this.#change(session.workerId, slot);
  }

  /** Its stream has ended; `left`: on purpose. */
  disconnect(workerId: string, left: boolean): void {
    const slot = this.#slotOf(workerId);
    slot.connected = false;
    slot.left = left;
    this.#change(workerId, slot);
  }

  /** A sign of life. */
  heard(workerId: string, nowUs: number): void {
    const slot = this.#slotOf(workerId);
    slot.heardAtUs = nowUs;
    this.#setState(workerId, slot, WorkerLinkState.CONNECTED);
  }

  /** It is not heard any more. */
  unheard(workerId: string, state: "silent" | "lost"): void {
    this.#setState(
      workerId,
      this.#slotOf(workerId),
      state === "silent" ? WorkerLinkState.SILENT : WorkerLinkState.LOST,
    );
  }

  /** Something of it was measured. */
  measure({ workerId, roundTripUs, figures, clockOffsetUs }: WorkerSession): void {
    const slot = this.#slotOf(workerId);
    const isNews =
      slot.roundTripUs !== roundTripUs || slot.clockOffsetUs !== clockOffsetUs || !sameFigures(slot.figures, figures);
    if (!isNews) return;
    Object.assign(slot, { roundTripUs, figures, clockOffsetUs });
    this.#measured.add(workerId);
  }

  /** What it runs has changed, or the state of that. */
  attemptsChanged(workerId: string): void {
    const slot = this.#slots.get(workerId);
    if (slot) this.#change(workerId, slot);
  }

  /** Its name is forgotten. */
  forget(workerId: string): void {
    this.#slots.delete(workerId);
    this.#measured.delete(workerId);
    this.#changes.forget(workerId);
  }

  /** Tells what was measured. Call it about every second. */
  beat(): void {
    const now = this.#monotonic();
    for (const workerId of this.#measured) {
      const slot = this.#slots.get(workerId);
      if (slot && now - slot.changedAtMs >= measuredEveryMs) this.#change(workerId, slot);
    }
  }

  /** The vitals of all workers of whom there is something to say, in no order. */
  list(): WorkerVitals[] {
    return [...this.#slots].map(([workerId, slot]) => this.#vitals(workerId, slot));
  }

  /** Encoded vitals of the workers that changed after `version`; 0: of all. */
  changedSince(version: number): Uint8Array[] {
    return this.#changes.since(version).flatMap((workerId) => {
      const slot = this.#slots.get(workerId);
      return slot ? [(slot.encoded ??= toBinary(WorkerVitalsSchema, this.#vitals(workerId, slot)))] : [];
    });
  }

  #slotOf(workerId: string): Slot {
    let slot = this.#slots.get(workerId);
    if (!slot)
      this.#slots.set(
        workerId,
        (slot = {
          state: WorkerLinkState.UNSPECIFIED,
          connected: false,
          left: false,
          heardAtUs: 0,
          roundTripUs: 0,
          figures: noFigures,
          clockOffsetUs: 0,
          changedAtMs: -Infinity,
          encoded: undefined,
        }),
      );
    return slot;
  }

  #setState(workerId: string, slot: Slot, state: WorkerLinkState): void {
    if (slot.state === state) return;
    slot.state = state;
    this.#change(workerId, slot);
  }

  #change(workerId: string, slot: Slot): void {
    slot.encoded = undefined;
    slot.changedAtMs = this.#monotonic();
    this.#measured.delete(workerId);
    this.#changes.touch(workerId);
  }

  #vitals(workerId: string, slot: Slot): WorkerVitals {
    const attempts = this.#attemptsOf(workerId).flatMap(({ id, record }) => {
      const open = openAttempt(record);
      return open ? [{ open, id, record }] : [];
    });
    attempts.sort((a, b) => Number(a.open.assignedAtUs - b.open.assignedAtUs));
    return create(WorkerVitalsSchema, {
      workerId,
      connected: slot.connected,
      clockOffsetUs: BigInt(slot.clockOffsetUs),
      attempts: attempts.map(({ open, id, record: { name, type, state } }) =>
        create(WorkerAttemptSchema, { jobId: id, attempt: open.number, name, type, state }),
      ),
      ...(slot.left && attempts.length === 0
        ? {}
        : {
            link: create(WorkerLinkSchema, {
              state: slot.state,
              heardAtUs: BigInt(slot.heardAtUs),
              roundTripUs: slot.roundTripUs,
              ...slot.figures,
            }),
          }),
    });
  }
}
