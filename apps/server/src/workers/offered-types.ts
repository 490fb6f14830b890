import { create } from "@bufbuild/protobuf";
import { OfferedJobTypeSchema, type JobType, type OfferedJobType } from "@signalbox/protocol";
import type { WorkerSession } from "./worker-session.ts";

/** What connected workers offer, by name. `typeOf` knows each type as it was described last. */
export function offeredTypes(
  sessions: Iterable<WorkerSession>,
  slotsUsed: (session: WorkerSession) => number,
  typeOf: (name: string) => JobType | undefined,
): OfferedJobType[] {
  const offered = new Map<string, OfferedJobType>();
  for (const session of sessions) {
    const used = slotsUsed(session);
    for (const type of session.hello.jobTypes) {
      let offer = offered.get(type.name);
      if (!offer) {
        offer = create(OfferedJobTypeSchema, { type: typeOf(type.name) ?? type });
        offered.set(type.name, offer);
      }
      offer.workers++;
      offer.slots += session.slots;
      offer.slotsUsed += used;
    }
  }
  return [...offered.values()].sort((a, b) => ((a.type?.name ?? "") < (b.type?.name ?? "") ? -1 : 1));
}
