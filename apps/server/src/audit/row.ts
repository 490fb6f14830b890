import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ActorSchema,
  AuditKind,
  AuditRowSchema,
  JobEntrySchema,
  ReceiptState,
  type Actor,
  type AuditRow,
  type JobEntry,
  type JobRecord,
  type Receipt,
} from "@signalbox/protocol";
import { digestOf } from "../digest.ts";
import { jobTopic, type StoredEntry } from "../jobs/job.ts";
import { openAttempt } from "../jobs/job-record.ts";
import type { JournalEntry } from "../store/store.ts";
import { auditTopic, type StoredAuditEntry } from "./audit-log.ts";
import { entryValues, entryWords } from "./words.ts";

/** A row of the view as it is kept: many of them share their texts and actors. */
export interface Row {
  readonly topic: string;
  readonly position: number;
  /** Server clock, microseconds since the Unix epoch. */
  readonly at: number;
  readonly actor: Actor;
  readonly kind: AuditKind;
  readonly jobId: string;
  readonly jobName: string;
  readonly attempt: number;
  readonly words: string;
  /** The values that it set; may be empty. */
  readonly values: string;
  readonly onGeneration: bigint;
  readonly generation: bigint;
  /** How far a command has come; rows of commands change. */
  outcome: ReceiptState;
  outcomeAt: number;
  reason: string;
  readonly refused: boolean;
  readonly code: number;
  readonly requestId: string;
  /** SHA-256, a character a byte. */
  readonly digest: string;
  readonly repeated: number;
  /** The line before which a command took effect; 0n: not known. */
  atLine: bigint;
}

const nobody = create(ActorSchema);

const kinds: Readonly<Partial<Record<NonNullable<JobEntry["cause"]["case"]>, AuditKind>>> = {
  started: AuditKind.START,
  retry: AuditKind.RETRY,
  report: AuditKind.REPORT,
  late: AuditKind.REPORT,
};

/** The row of a job's entry. `before` is the record before it; undefined for a job's first entry. */
export function jobRow(jobId: string, { entry, position, digest }: StoredEntry, before: JobRecord | undefined): Row {
  const { cause, record } = entry;
  const command = cause.case === "command" ? cause.value : undefined;
  const generation = command?.generation ?? 0n;
  const receipt = generation > 0n ? record?.receipts.find((each) => each.generation === generation) : undefined;
  const attempt = (record && openAttempt(record)) ?? (before && openAttempt(before));
  const { words, reason } = entryWords(entry, before);
  const row: Row = {
    ...{ topic: jobTopic(jobId), position, at: Number(entry.atUs), actor: entry.actor ?? nobody },
    kind: command ? commandKind(command.action.case) : ((cause.case && kinds[cause.case]) ?? AuditKind.SERVER),
    ...{ jobId, jobName: record?.name ?? "", attempt: attempt?.number ?? 0, words, reason, generation },
    values: entryValues(entry, before),
    onGeneration: before?.spec?.generation ?? 0n,
    ...{ outcome: ReceiptState.UNSPECIFIED, outcomeAt: 0, refused: false, code: 0, repeated: 0 },
    ...{ requestId: entry.requestId, digest: Buffer.from(digest).toString("latin1"), atLine: 0n },
  };
  if (receipt) follow(row, receipt);
  return row;
}

function commandKind(action: "set" | "withdrawGeneration" | "giveUp" | undefined): AuditKind {
  if (action === "withdrawGeneration") return AuditKind.WITHDRAW;
  return action === "giveUp" ? AuditKind.GIVE_UP : AuditKind.COMMAND;
}

/** Takes over what a receipt says of the row's command. Returns whether that is new. */
export function follow(row: Row, receipt: Receipt): boolean {
  if (receipt.state === row.outcome || rank(receipt.state) < rank(row.outcome)) return false;
  row.outcome = receipt.state;
  const at = {
    [ReceiptState.ACCEPTED]: receipt.acceptedAtUs,
    [ReceiptState.DELIVERED]: receipt.deliveredAtUs,
    [ReceiptState.PROVED]: receipt.provedAtUs,
  };
  const decidedAt = receipt.state in at ? at[receipt.state as keyof typeof at] : receipt.decidedAtUs;
  // The clock is read once for the decision and once for the entry.
  row.outcomeAt = Math.max(row.at, Number(decidedAt));
  row.atLine = receipt.atLine;
  row.reason = receipt.reason || row.reason || receipt.proof;
  return true;
}

/** Whether nothing more can become of a command. */
export function isSettled(state: ReceiptState): boolean {
  return state >= ReceiptState.PROVED;
}

/** How far along a state is: an older word never replaces a newer one. */
function rank(state: ReceiptState): number {
  return state >= ReceiptState.PROVED ? 4 : state;
}

/** The row of an entry of the topic `audit`; undefined for anchors, which nobody did. */
export function auditRow(
  { entry, position, digest }: StoredAuditEntry,
  nameOf: (jobId: string) => string | undefined,
): Row | undefined {
  const { event } = entry;
  if (event.case === undefined || event.case === "anchor") return undefined;
  const jobId = event.case === "refusal" ? event.value.jobId : "";
  const common = {
    ...{ topic: auditTopic, position, at: Number(entry.atUs), actor: entry.actor ?? nobody, jobId },
    ...{ jobName: (jobId && nameOf(jobId)) || "", attempt: 0, onGeneration: 0n, generation: 0n },
    ...{ outcome: ReceiptState.UNSPECIFIED, outcomeAt: 0, reason: "", refused: false, code: 0, requestId: "" },
    ...{ digest: Buffer.from(digest).toString("latin1"), repeated: 0, atLine: 0n, values: "" },
  };
  switch (event.case) {
    case "refusal": {
      const { words, onGeneration, code, reason, requestId, repeated } = event.value;
      const kind = AuditKind.REFUSAL;
      return { ...common, kind, refused: true, words, onGeneration, code, reason, requestId, repeated };
    }
    case "signIn": {
      const { words, refused, repeated } = event.value;
      return { ...common, kind: AuditKind.SIGN_IN, words: capital(words), refused, repeated };
    }
    case "drain": {
      const { workerId, drained, stop, reason } = event.value;
      const verb = stop ? "Stop" : drained ? "Drain" : "Undrain";
      return { ...common, kind: AuditKind.DRAIN, words: `${verb} ${workerId}`, reason };
    }
    case "limit":
      return { ...common, kind: AuditKind.LIMIT, words: event.value.words };
    case "bulk":
      return { ...common, kind: AuditKind.BULK, words: event.value.words };
  }
}

/** Folds the history of one job into rows, oldest first. A command's row says how it stands at the end of what was folded. */
export class JobRows {
  readonly #jobId: string;
  readonly #open = new Map<bigint, Row>();
  #before: JobRecord | undefined;

  constructor(jobId: string) {
    this.#jobId = jobId;
  }

  /** Commands that something more can become of. */
  get open(): Iterable<Row> {
    return this.#open.values();
  }

  /** Takes the next entry in. */
  add({ data, position }: JournalEntry): Row {
    const entry = fromBinary(JobEntrySchema, data);
    const row = jobRow(this.#jobId, { entry, position, digest: digestOf(data) }, this.#before);
    for (const receipt of entry.record?.receipts ?? []) {
      const known = this.#open.get(receipt.generation);
      if (!known) continue;
      follow(known, receipt);
      if (isSettled(known.outcome)) this.#open.delete(receipt.generation);
    }
    if (row.generation > 0n && !isSettled(row.outcome)) this.#open.set(row.generation, row);
    this.#before = entry.record;
    return row;
  }
}

/** The row as it travels. */
export function toAuditRow(row: Row): AuditRow {
  const { at, outcomeAt, position, digest, actor, ...same } = row;
  return create(AuditRowSchema, {
    ...same,
    actor,
    atUs: BigInt(at),
    outcomeAtUs: BigInt(outcomeAt),
    position: BigInt(position),
    digest: Buffer.from(digest, "latin1"),
  });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
