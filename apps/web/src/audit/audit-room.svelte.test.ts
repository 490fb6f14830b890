import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  AuditFilterSchema,
  AuditRowSchema,
  ListAuditResponseSchema,
  ReceiptState,
  type AuditRow,
  type AuditService,
  type ListAuditResponse,
  type WatchResponse,
} from "@signalbox/protocol";
import { expect, test, vi } from "vitest";
import type { Live } from "../live/live.svelte.ts";
import { AuditRoom } from "./audit-room.svelte.ts";

const command = (outcome: ReceiptState): AuditRow =>
  create(AuditRowSchema, { topic: "job/j-1", position: 1n, atUs: 1n, outcome });

test("a page that was read before a row changed does not take the change back", async () => {
  const answer = Promise.withResolvers<ListAuditResponse>();
  const client = { listAudit: () => answer.promise } as unknown as Client<typeof AuditService>;
  let apply: (message: WatchResponse["message"]) => void = () => undefined;
  const live = {
    follow: (subscription: { apply: typeof apply }) => {
      apply = subscription.apply;
      return () => undefined;
    },
  } as unknown as Live;
  const room = new AuditRoom(client, live, create(AuditFilterSchema), () => false);
  const load = room.load();
  apply({
    case: "audit",
    value: { $typeName: "signalbox.v1.AuditRows", rows: [command(ReceiptState.APPLIED)] },
  });
  answer.resolve(create(ListAuditResponseSchema, { rows: [command(ReceiptState.ACCEPTED)] }));
  await load;
  await vi.waitFor(() => expect(room.rows.map(({ outcome }) => outcome)).toEqual([ReceiptState.APPLIED]));
  room.close();
});
