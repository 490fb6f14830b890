import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AuditFilterSchema,
  CommandSchema,
  JobEntrySchema,
  JobTypeSchema,
  RunMode,
  StartJobRequestSchema,
  type AuditVerdict,
} from "@signalbox/protocol";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { pino } from "pino";
import { expect, test } from "vitest";
import { digestOf } from "../digest.ts";
import { Jobs } from "../jobs/jobs.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { tempFolder } from "../store/testing.ts";
import { Audit } from "./audit.ts";
import { verifyAudit } from "./verify.ts";

const actor = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator", address: "127.0.0.1" });
const type = create(JobTypeSchema, { name: "count" });
const logger = pino({ level: "silent" });
const clock = () => Date.now() * 1000;

/** A room as a server has it, on the store of a folder; ends as a server that is stopped. */
async function inRoom<T>(
  folder: string,
  act: (room: { jobs: Jobs; audit: Audit; store: Store }) => Promise<T>,
): Promise<T> {
  const store = await openSqliteStore({ folder });
  const jobs = await Jobs.open(store, logger);
  const audit = new Audit({ store, jobs, clock, logger });
  try {
    return await act({ jobs, audit, store });
  } finally {
    await audit.close();
    await store.close();
  }
}

/** A job with five entries: it is started, and held and let go twice. */
async function makeJob(jobs: Jobs, requestId: string): Promise<string> {
  const { id } = await jobs.start(create(StartJobRequestSchema, { requestId, type: "count" }), type, actor);
  for (const [n, mode] of [RunMode.PAUSE, RunMode.RUN, RunMode.PAUSE, RunMode.RUN].entries()) {
    const set = { case: "set", value: { value: { case: "run", value: { mode } } } } as const;
    await jobs.get(id).command(create(CommandSchema, { action: set }), actor, `command ${n}`);
  }
  return id;
}

/** A store that was closed, with two jobs and some entries of the audit. */
async function makeStore(folder: string): Promise<{ one: string; two: string }> {
  return inRoom(folder, async ({ jobs, audit }) => {
    audit.log.signIn(actor, "signed in", false);
    audit.log.signIn(actor, "signed out", false);
    return { one: await makeJob(jobs, "one"), two: await makeJob(jobs, "two") };
  });
}

async function verify(folder: string): Promise<AuditVerdict> {
  const store = await openSqliteStore({ folder });
  try {
    let verdict: AuditVerdict | undefined;
    for await (const step of verifyAudit(store, new AbortController().signal)) verdict = step.verdict;
    if (!verdict) throw new Error("there was no verdict");
    return verdict;
  } finally {
    await store.close();
  }
}

interface StoredRow {
  position: number;
  data: Uint8Array;
}

/** Edits the entries of a topic in the file of a store that nobody has open. */
function edit(folder: string, topic: string, change: (rows: StoredRow[], db: DatabaseSync, id: number) => void): void {
  const db = new DatabaseSync(join(folder, "state.db"));
  const { id } = db.prepare("SELECT id FROM topic WHERE name = ?").get(topic) as { id: number };
  const rows = db.prepare("SELECT position, data FROM entry WHERE topic = ? ORDER BY position").all(id);
  change(rows as unknown as StoredRow[], db, id);
  db.close();
}

const put = (db: DatabaseSync, data: Uint8Array, position: number) =>
  db.prepare("UPDATE entry SET data = ? WHERE position = ?").run(data, position);
const remove = (db: DatabaseSync, position: number) => db.prepare("DELETE FROM entry WHERE position = ?").run(position);

/** The bytes with the last byte of a text in them changed. */
function altered(data: Uint8Array, text: string): Uint8Array {
  const at = Buffer.from(data).indexOf(text);
  if (at < 0) throw new Error(`'${text}' is not in the entry`);
  const copy = data.slice();
  copy[at + text.length - 1] = (copy[at + text.length - 1] ?? 0) ^ 1;
  return copy;
}

test("a store that nobody touched is intact, after restarts too", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  await inRoom(temp.folder, async ({ jobs }) => {
    const retake = create(CommandSchema, {
      action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.PAUSE } } } },
    });
    await jobs.get(one).command(retake, actor, "after the restart");
  });
  const verdict = await verify(temp.folder);
  expect(verdict).toMatchObject({ intact: true, faults: [], unchainedEntries: 0n, anchors: 3n });
  expect(verdict.anchoredAtUs).toBeGreaterThan(0n);
});

test("a changed byte is found, and its entry is named", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  let bad = 0;
  edit(temp.folder, `job/${one}`, (rows, db) => {
    const row = rows[2]!;
    bad = row.position;
    put(db, altered(row.data, "operator"), row.position);
  });
  const { intact, faults } = await verify(temp.folder);
  expect(intact).toBe(false);
  expect(faults).toMatchObject([
    { topic: `job/${one}`, position: BigInt(bad), words: expect.stringContaining("was changed") as string },
  ]);
});

test("a changed byte in the newest entry is found by its anchor", async () => {
  await using temp = await tempFolder();
  const { two } = await makeStore(temp.folder);
  let bad = 0;
  edit(temp.folder, `job/${two}`, (rows, db) => {
    const row = rows.at(-1)!;
    bad = row.position;
    put(db, altered(row.data, "operator"), row.position);
  });
  const { faults } = await verify(temp.folder);
  expect(faults).toMatchObject([
    {
      topic: `job/${two}`,
      position: BigInt(bad),
      words: expect.stringContaining("not the one that was there") as string,
    },
  ]);
});

test("a removed entry in the middle is found", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  let before = 0;
  edit(temp.folder, `job/${one}`, (rows, db) => {
    before = rows[1]!.position;
    remove(db, rows[2]!.position);
  });
  const { intact, faults } = await verify(temp.folder);
  expect(intact).toBe(false);
  expect(faults).toMatchObject([
    { topic: `job/${one}`, position: BigInt(before), words: expect.stringContaining("is gone") as string },
  ]);
});

test("a removed first entry is found", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  edit(temp.folder, `job/${one}`, (rows, db) => remove(db, rows[0]!.position));
  const { faults } = await verify(temp.folder);
  expect(faults).toMatchObject([
    { topic: `job/${one}`, words: expect.stringContaining("beginning is missing") as string },
  ]);
});

test("two entries that were swapped are found, and the first of them is named", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  let first = 0;
  edit(temp.folder, `job/${one}`, (rows, db) => {
    const [a, b] = [rows[2]!, rows[3]!];
    first = a.position;
    put(db, b.data, a.position);
    put(db, a.data, b.position);
  });
  const { faults } = await verify(temp.folder);
  expect(faults).toMatchObject([
    { topic: `job/${one}`, position: BigInt(first), words: expect.stringContaining("not in its place") as string },
  ]);
});

test("an end that was cut off is found, as far as an anchor had it", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  let last = 0;
  edit(temp.folder, `job/${one}`, (rows, db, id) => {
    const [kept, cut] = rows.slice(-2) as [StoredRow, StoredRow];
    last = cut.position;
    remove(db, cut.position);
    db.prepare("UPDATE topic SET last = ? WHERE id = ?").run(kept.position, id);
  });
  const { faults } = await verify(temp.folder);
  expect(faults).toMatchObject([
    { topic: `job/${one}`, position: BigInt(last), words: expect.stringContaining("end is missing") as string },
  ]);
});

test("a topic that is gone as a whole is found", async () => {
  await using temp = await tempFolder();
  const { two } = await makeStore(temp.folder);
  edit(temp.folder, `job/${two}`, (_rows, db, id) => {
    db.prepare("DELETE FROM entry WHERE topic = ?").run(id);
    db.prepare("DELETE FROM topic WHERE id = ?").run(id);
  });
  const { intact, faults } = await verify(temp.folder);
  expect(intact).toBe(false);
  expect(faults).toMatchObject([
    { topic: `job/${two}`, position: 0n, words: expect.stringContaining("topic is missing") as string },
  ]);
});

test("an altered entry of the audit is found, and what its later anchors tell still counts", async () => {
  await using temp = await tempFolder();
  const { two } = await makeStore(temp.folder);
  let bad = 0;
  edit(temp.folder, "audit", (rows, db) => {
    bad = rows[0]!.position;
    put(db, altered(rows[0]!.data, "signed in"), bad);
  });
  edit(temp.folder, `job/${two}`, (_rows, db, id) => {
    db.prepare("DELETE FROM entry WHERE topic = ?").run(id);
    db.prepare("DELETE FROM topic WHERE id = ?").run(id);
  });
  const { faults } = await verify(temp.folder);
  expect(faults.map(({ topic, position }) => [topic, position])).toEqual([
    [`job/${two}`, 0n],
    ["audit", BigInt(bad)],
  ]);
});

test.each<[string, (rows: StoredRow[], db: DatabaseSync, id: number) => void, object, object]>([
  [
    "cut off at its end",
    (rows, db, id) => {
      const kept = rows.at(-3)!.position;
      db.prepare("DELETE FROM entry WHERE topic = ? AND position > ?").run(id, kept);
      db.prepare("UPDATE topic SET last = ? WHERE id = ?").run(kept, id);
    },
    { topic: "audit", words: expect.stringContaining("end is missing") as string },
    { topic: "audit", words: expect.stringMatching(/^Entry \d+ is (missing|not the one)/) as string },
  ],
  [
    "removed as a whole",
    (_rows, db, id) => {
      db.prepare("DELETE FROM entry WHERE topic = ?").run(id);
      db.prepare("DELETE FROM topic WHERE id = ?").run(id);
    },
    { topic: "audit", words: expect.stringContaining("topic is missing") as string },
    { topic: "audit", position: 0n, words: expect.stringContaining("All that was there is missing") as string },
  ],
])("the audit itself, %s, is missed, and other servers cover nothing up", async (_, cut, fault, later) => {
  await using temp = await tempFolder();
  await makeStore(temp.folder);
  edit(temp.folder, "audit", cut);
  expect(await verify(temp.folder)).toMatchObject({ intact: false, faults: [fault] });
  for (let server = 1; server <= 3; server++)
    await inRoom(temp.folder, ({ audit }) => Promise.resolve(audit.log.signIn(actor, "signed in", false)));
  expect((await verify(temp.folder)).faults).toMatchObject([later]);
});

test("a note of where the audit ends that cannot be read is a fault", async () => {
  await using temp = await tempFolder();
  await makeStore(temp.folder);
  edit(temp.folder, "audit", (_rows, db) => {
    db.exec("UPDATE record SET data = x'ff' WHERE tables = (SELECT id FROM tables WHERE name = 'audit_head')");
  });
  expect(await verify(temp.folder)).toMatchObject({
    intact: false,
    faults: [{ topic: "audit", words: expect.stringContaining("note of where the topic ends") as string }],
  });
});

test("a history that was rewritten from some entry on, chain and all, is found by its anchor", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  edit(temp.folder, `job/${one}`, (rows, db) => {
    let previousDigest = digestOf(rows[1]!.data);
    for (const row of rows.slice(2)) {
      const entry = fromBinary(JobEntrySchema, row.data);
      if (entry.actor) entry.actor.name = "somebody else";
      const data = toBinary(JobEntrySchema, { ...entry, previousDigest });
      put(db, data, row.position);
      previousDigest = digestOf(data);
    }
  });
  const { faults } = await verify(temp.folder);
  expect(faults).toMatchObject([
    { topic: `job/${one}`, words: expect.stringContaining("it, or one before it, was changed") as string },
  ]);
});

test("entries of servers that did not chain them are allowed at the beginning only", async () => {
  await using temp = await tempFolder();
  const { one } = await makeStore(temp.folder);
  const unchain = (count: number) => (rows: StoredRow[], db: DatabaseSync) => {
    let previousDigest: Uint8Array | undefined;
    for (const [index, row] of rows.entries()) {
      const entry = fromBinary(JobEntrySchema, row.data);
      const data = toBinary(JobEntrySchema, {
        ...entry,
        previousDigest: index < count || index > 3 ? new Uint8Array() : (previousDigest ?? new Uint8Array()),
      });
      put(db, data, row.position);
      previousDigest = digestOf(data);
    }
  };
  edit(temp.folder, "audit", (_rows, db, id) => {
    db.prepare("DELETE FROM entry WHERE topic = ?").run(id);
    db.prepare("DELETE FROM topic WHERE id = ?").run(id);
    db.exec("DELETE FROM record WHERE tables = (SELECT id FROM tables WHERE name = 'audit_head')");
  });
  edit(temp.folder, `job/${one}`, unchain(5));
  expect(await verify(temp.folder)).toMatchObject({ intact: true, unchainedEntries: 4n });
  edit(temp.folder, `job/${one}`, unchain(2));
  const { faults } = await verify(temp.folder);
  expect(faults).toMatchObject([{ topic: `job/${one}`, words: expect.stringContaining("was put there") as string }]);
});

test("a server that was killed anchors later what it had not", async () => {
  await using temp = await tempFolder();
  // Killed: the audit is never closed, so that no last anchor is written.
  const store = await openSqliteStore({ folder: temp.folder });
  const id = await makeJob(await Jobs.open(store, logger), "one");
  await store.close();
  await inRoom(temp.folder, async ({ audit }) => {
    await audit.anchors.anchor();
    await audit.log.idle();
    const rows = [];
    for await (const run of audit.view.select(create(AuditFilterSchema, { jobId: id }), "")) rows.push(...run);
    expect(rows).toHaveLength(5);
  });
  edit(temp.folder, `job/${id}`, (_rows, db, topic) => {
    db.prepare("DELETE FROM entry WHERE topic = ?").run(topic);
    db.prepare("DELETE FROM topic WHERE id = ?").run(topic);
  });
  expect((await verify(temp.folder)).faults).toMatchObject([{ topic: `job/${id}`, position: 0n }]);
});
