import type { JobRecord } from "@signalbox/protocol";
import { isOpen } from "@signalbox/protocol/job-state";
import type { Room } from "./room.ts";
import { watch, type Followed } from "./watch.ts";

/**
 * Follows commands to many jobs until each is decided, or `signal` aborts; without `waits` it only looks. `generations` are those of the
 * commands, by job; 0 for one that moved no lever. Returns the newest known record of each of `jobs`. Throws CliError.
 */
export async function followReceipts(
  room: Room,
  jobs: ReadonlySet<string>,
  generations: ReadonlyMap<string, bigint>,
  { waits, signal, onWait }: { waits: boolean; signal: AbortSignal; onWait: (open: number) => void },
): Promise<Map<string, JobRecord>> {
  const records = new Map<string, JobRecord>();
  const open = new Set([...generations.keys()]);
  const followed: Followed = {
    id: "jobs",
    kind: {
      case: "jobs",
      value: { $typeName: "signalbox.v1.JobsSubscription", withJobTypes: false, withTrends: false },
    },
    cursor: new Uint8Array(),
  };
  let caughtUp = false;
  for await (const event of watch(room, [followed], signal)) {
    if (event.kind !== "message") continue;
    const { message } = event;
    if (message.case === "caughtUp") caughtUp = true;
    if (message.case === "records")
      for (const record of message.value.records) {
        if (!jobs.has(record.id)) continue;
        records.set(record.id, record);
        const generation = generations.get(record.id) ?? 0n;
        const receipt = record.receipts.find((each) => each.generation === generation);
        // One that is not there any more was decided, and others have come since.
        const waiting = receipt ? isOpen(receipt) : record.spec === undefined || record.spec.generation < generation;
        if (!waiting) open.delete(record.id);
      }
    if (caughtUp && (open.size === 0 || !waits)) return records;
    if (caughtUp) onWait(open.size);
  }
  return records;
}
