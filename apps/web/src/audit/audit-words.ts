import { ActorKind, AuditKind, ReceiptState, type AuditRow } from "@signalbox/protocol";
import { step } from "../ui/format.ts";
import type { LampLook } from "../ui/lamp.ts";

/** What the kinds of rows are called. */
export const kindNames: Readonly<Partial<Record<AuditKind, string>>> = {
  [AuditKind.START]: "start",
  [AuditKind.COMMAND]: "command",
  [AuditKind.WITHDRAW]: "take back",
  [AuditKind.GIVE_UP]: "give up",
  [AuditKind.RETRY]: "retry",
  [AuditKind.SIGN_IN]: "sign-in",
  [AuditKind.REFUSAL]: "refusal",
  [AuditKind.DRAIN]: "drain",
  [AuditKind.LIMIT]: "limit",
  [AuditKind.BULK]: "many jobs",
  [AuditKind.SERVER]: "server",
  [AuditKind.REPORT]: "report",
};

/** What the kinds of actors are called. */
export const actorKindNames: Readonly<Partial<Record<ActorKind, string>>> = {
  [ActorKind.OPERATOR]: "people",
  [ActorKind.MACHINE]: "programs",
  [ActorKind.WORKER]: "workers",
  [ActorKind.SERVER]: "the server",
};

/** Who did it, by name. */
export function whoOf({ actor }: AuditRow): string {
  if (actor?.name) return actor.name;
  return "somebody unknown";
}

/** How a row ended, as a lamp and its word; undefined where there is nothing to come of it. */
export function outcomeLook(row: AuditRow): (LampLook & { readonly word: string }) | undefined {
  if (row.refused) return { shape: "failed", tone: "stop", word: "Refused" };
  return outcomes[row.outcome];
}

const outcomes: Readonly<Partial<Record<ReceiptState, LampLook & { readonly word: string }>>> = {
  [ReceiptState.ACCEPTED]: { shape: "moving", tone: "wait", word: "Accepted" },
  [ReceiptState.DELIVERED]: { shape: "moving", tone: "wait", word: "Delivered" },
  [ReceiptState.APPLIED]: { shape: "succeeded", tone: "done", word: "Applied" },
  [ReceiptState.PROVED]: { shape: "succeeded", tone: "go", word: "Proved" },
  [ReceiptState.REJECTED]: { shape: "failed", tone: "stop", word: "Rejected" },
  [ReceiptState.SUPERSEDED]: { shape: "canceled", tone: "idle", word: "Superseded" },
  [ReceiptState.EXPIRED]: { shape: "silent", tone: "wait", word: "Expired" },
  [ReceiptState.WITHDRAWN]: { shape: "canceled", tone: "idle", word: "Taken back" },
};

/** How long after the row its outcome came: `+38 ms`; empty if there is none. */
export function outcomeAfter({ atUs, outcomeAtUs, outcome }: AuditRow): string {
  if (outcomeAtUs === 0n || outcome < ReceiptState.APPLIED) return "";
  return `+${step(Number(outcomeAtUs - atUs) / 1000)}`;
}

/** A digest in hexadecimal. */
export function hex(digest: Uint8Array): string {
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
