import { create } from "@bufbuild/protobuf";
import {
  BulkEntrySchema,
  BulkOutcome,
  BulkRecordSchema,
  BulkState,
  type Actor,
  type BulkCommand,
  type BulkEntry,
  type BulkRecord,
  type BulkResult,
} from "@signalbox/protocol";
import { serverActor } from "../jobs/dispatch.ts";
import { Refused } from "../refused.ts";

// The state machine of commands to many. Pure: each `entry…` function makes the next entry of the topic, with the record after it, and
// `afterEntry` is what the entries up to there add up to. Times are server clock, microseconds.
//
//   HELD -> RUNNING -> DONE | STOPPED
//   HELD -> UNDONE

/** What is known after some entry of a topic. Never change it. */
export interface BulkHistory {
  /** Without results. */
  readonly record: BulkRecord;
  readonly startDigest: Uint8Array;
  /** In the order in which they get their commands. */
  readonly jobIds: readonly string[];
  /** What became of the first of them, so far. */
  readonly results: readonly BulkResult[];
}

/** What commands to many are made of; everything is checked already. */
export interface NewBulk {
  readonly id: string;
  readonly actor: Actor;
  readonly command: BulkCommand;
  readonly jobIds: readonly string[];
  readonly selectionWords: string;
  readonly holdMs: number;
  readonly perSecond: number;
  readonly startDigest: Uint8Array;
}

/** The first entry. */
export function entryOfStart(bulk: NewBulk, now: number): BulkEntry {
  return create(BulkEntrySchema, {
    atUs: BigInt(now),
    actor: bulk.actor,
    jobIds: [...bulk.jobIds],
    startDigest: bulk.startDigest,
    record: create(BulkRecordSchema, {
      id: bulk.id,
      actor: bulk.actor,
      createdAtUs: BigInt(now),
      command: bulk.command,
      state: BulkState.HELD,
      heldUntilUs: BigInt(now + bulk.holdMs * 1000),
      jobsTotal: bulk.jobIds.length,
      perSecond: bulk.perSecond,
      selectionWords: bulk.selectionWords,
    }),
  });
}

/** Not held any longer: the time is over, or with an actor somebody released it. Throws Refused unless it is held. */
export function entryOfBegin({ record }: BulkHistory, actor: Actor | undefined, now: number): BulkEntry {
  if (record.state !== BulkState.HELD)
    throw new Refused("wrong-state", `It is not held: it ${stateWords[record.state]}.`);
  const heldUntilUs = actor ? BigInt(now) : record.heldUntilUs;
  return entry(actor ?? serverActor, { ...record, state: BulkState.RUNNING, heldUntilUs }, now);
}

/** Taken back while it is held. Throws Refused if it is not held any more. */
export function entryOfUndo({ record }: BulkHistory, actor: Actor, now: number): BulkEntry {
  if (record.state !== BulkState.HELD)
    throw new Refused(
      "wrong-state",
      record.state === BulkState.RUNNING
        ? "It is not held any more: jobs are getting their commands. Stop it to spare those that have none yet."
        : `It cannot be undone: it ${stateWords[record.state]}.`,
    );
  return entry(actor, { ...record, state: BulkState.UNDONE, endedAtUs: BigInt(now), endedBy: actor }, now);
}

/** What became of the next jobs. With the last of them it is done; with `stoppedBy` it ends here. Throws RangeError for too many. */
export function entryOfResults(
  { record, jobIds, results }: BulkHistory,
  next: readonly BulkResult[],
  stoppedBy: Actor | undefined,
  now: number,
): BulkEntry {
  const known = results.length + next.length;
  if (record.state !== BulkState.RUNNING || known > jobIds.length)
    throw new RangeError("results of jobs that get no command");
  const after = { ...record };
  for (const { outcome } of next) {
    if (outcome === BulkOutcome.ACCEPTED) after.accepted++;
    else if (outcome === BulkOutcome.SKIPPED) after.skipped++;
    else after.refused++;
  }
  if (known === jobIds.length) {
    after.state = BulkState.DONE;
    after.endedAtUs = BigInt(now);
  } else if (stoppedBy) {
    after.state = BulkState.STOPPED;
    after.endedAtUs = BigInt(now);
    after.endedBy = stoppedBy;
  }
  return entry(after.endedBy ?? serverActor, after, now, next);
}

/** What is known after an entry. The first entry follows nothing. Throws Error if they do not belong together. */
export function afterEntry(before: BulkHistory | undefined, entry: BulkEntry): BulkHistory {
  const { record } = entry;
  if (!record || (!before && entry.startDigest.length === 0))
    throw new Error("an entry of commands to many has no record, or the first one is missing");
  if (!before) return { record, startDigest: entry.startDigest, jobIds: entry.jobIds, results: entry.results };
  const results = entry.results.length > 0 ? [...before.results, ...entry.results] : before.results;
  return { ...before, record, results };
}

/** Whether it has come to its end. */
export function isOver({ state }: BulkRecord): boolean {
  return state !== BulkState.HELD && state !== BulkState.RUNNING;
}

/** What it does or has done, in words that follow 'it'. */
export const stateWords: Readonly<Record<BulkState, string>> = {
  [BulkState.UNSPECIFIED]: "is unknown",
  [BulkState.HELD]: "is held",
  [BulkState.RUNNING]: "runs already",
  [BulkState.DONE]: "is done",
  [BulkState.UNDONE]: "was undone",
  [BulkState.STOPPED]: "was stopped",
};

function entry(actor: Actor, record: BulkRecord, now: number, results: readonly BulkResult[] = []): BulkEntry {
  return create(BulkEntrySchema, { atUs: BigInt(now), actor, record, results: [...results] });
}
