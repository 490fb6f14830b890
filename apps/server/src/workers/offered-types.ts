import { create, toBinary } from "@bufbuild/protobuf";
import {
  addRawMessages,
  JobTypeSchema,
  OfferedJobTypeSchema,
  type JobType,
  type OfferedJobType,
} from "@signalbox/protocol";
import type { WorkerSession } from "./worker-session.ts";

/** What connected workers offer, and its bytes, one message each: made once for each version, however many ask. */
export interface Offered {
  readonly version: number;
  /** By rising name. */
  readonly types: readonly OfferedJobType[];
  readonly encoded: readonly Uint8Array[];
}

/**
 * What connected workers offer. Those that are drained offer their types without slots, so that a job of them can wait. `typeOf` knows
 * each type as it was described last.
 */
export function offeredTypes(
  version: number,
  sessions: Iterable<WorkerSession>,
  slotsUsed: (session: WorkerSession) => number,
  typeOf: (name: string) => JobType | undefined,
): Offered {
  const offered = new Map<string, OfferedJobType>();
  for (const session of sessions) {
    if (session.isLeaving) continue;
    const used = slotsUsed(session);
    for (const type of session.hello.jobTypes) {
      let offer = offered.get(type.name);
      if (!offer) {
        offer = create(OfferedJobTypeSchema, { type: typeOf(type.name) ?? type });
        offered.set(type.name, offer);
      }
      if (session.drained) continue;
      offer.workers++;
      offer.slots += session.slots;
      offer.slotsUsed += used;
    }
  }
  const types = [...offered.values()].sort((a, b) => ((a.type?.name ?? "") < (b.type?.name ?? "") ? -1 : 1));
  return { version, types, encoded: types.map(encode) };
}

const typeField = 1;
/** Types with their schemas are large and stay the same; the numbers beside them change all the time. */
const encodedTypes = new WeakMap<JobType, Uint8Array>();

function encode({ type, workers, slots, slotsUsed }: OfferedJobType): Uint8Array {
  const offer = create(OfferedJobTypeSchema, { workers, slots, slotsUsed });
  if (type) {
    const bytes = encodedTypes.get(type) ?? toBinary(JobTypeSchema, type);
    encodedTypes.set(type, bytes);
    addRawMessages(offer, typeField, [bytes]);
  }
  return toBinary(OfferedJobTypeSchema, offer);
}
