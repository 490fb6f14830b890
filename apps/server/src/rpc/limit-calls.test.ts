import { Code, ConnectError } from "@connectrpc/connect";
import { ActorKind, AuditKind } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { TestRoom } from "../testing/open-test-room.ts";

test("the audit tells of each limit that is set, lifted or refused: who, from what, to what", async () => {
  await using room = await TestRoom.open();
  await room.connect({ types: [{ name: "count", mostRunning: 8 }] });
  const { jobs, audit } = room.domain;
  const ofType = { type: "count", labelKey: "", labelValue: "" };
  const ofLabel = { type: "", labelKey: "team", labelValue: "payments" };
  await jobs.setLimit({ limit: { ...ofType, mostRunning: 4 } });
  await jobs.setLimit({ limit: { ...ofType, mostRunning: 1 } });
  await jobs.setLimit({ limit: ofType, lift: true });
  await jobs.setLimit({ limit: { ...ofLabel, mostRunning: 2 } });
  const refused = { limit: { type: "count", ...{ labelKey: "team", labelValue: "", mostRunning: 2 } } };
  await expect(jobs.setLimit(refused)).rejects.toThrow(ConnectError);
  await room.domain.domain.auditLog.idle();

  const { rows } = await audit.listAudit({ filter: { kinds: [AuditKind.LIMIT, AuditKind.REFUSAL] } });
  expect(rows.map(({ words, refused }) => [words, refused])).toEqual([
    ["At most 2 jobs of type count", true],
    ["At most 2 jobs with label team=payments; before: no limit", false],
    ["No limit for jobs of type count; before: 1", false],
    ["At most 1 job of type count; before: 4", false],
    ["At most 4 jobs of type count; before: 8", false],
  ]);
  expect(rows[0]).toMatchObject({ kind: AuditKind.REFUSAL, code: Code.InvalidArgument });
  for (const { actor, atUs } of rows) {
    expect(actor).toMatchObject({ kind: ActorKind.OPERATOR, name: "operator", address: "127.0.0.1" });
    expect(atUs).not.toBe(0n);
  }
});
