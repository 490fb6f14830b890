import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBuilder,
  GapCause,
  GapSchema,
  Level,
  LogEntrySchema,
  LogRefusalSchema,
  Source,
} from "@signalbox/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import type { Store } from "../store/store.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import { LateLogs } from "./late-logs.ts";
import { Logs } from "./logs.ts";

const sender = { incarnation: "a".repeat(16), clockOffsetUs: 0 };
let folder: string;
let store: Store;
let logs: Logs;
let jobs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signalbox-late-"));
  store = await openSqliteStore({ folder });
  logs = new Logs(store.journal);
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

interface Line {
  readonly text: string;
  readonly timeUs?: number;
  readonly continues?: boolean;
}

function chunk(first: number, lines: readonly Line[]): Uint8Array {
  const builder = new ChunkBuilder();
  for (const { text, timeUs = 1, continues = false } of lines)
    builder.add(Buffer.from(text), { timeUs, continues, source: Source.STDOUT });
  return builder.build(first);
}

/** A job whose attempt 1 has stored these lines and is sealed. */
async function sealed(lines: readonly Line[]): Promise<string> {
  const job = `job-${++jobs}`;
  await (await logs.open(job, 1)).append(chunk(1, lines), sender);
  await logs.seal(job, 1, "given up");
  return job;
}

const entries = async (job: string, line: number) =>
  (await logs.late.read(job, 1, await logs.late.find(job, 1, line), 1e6)).map(({ data }) =>
    fromBinary(LogEntrySchema, data),
  );

test("late lines go on where the sealed log ends: numbers, order times and the level of a line that goes on", async () => {
  const job = await sealed([{ text: "one\n" }, { text: "ERROR half", timeUs: 9_000 }]);
  expect(await logs.late.end(job, 1)).toMatchObject({ nextLine: 3, position: 0, sealed: false });
  const { log, firstLine } = await logs.late.open(job, 1);
  expect(firstLine).toBe(3);
  await log.append(
    chunk(3, [
      { text: " and half\n", timeUs: 5_000, continues: true },
      { text: "INFO four\n", timeUs: 6_000 },
    ]),
    sender,
  );
  const [first] = await entries(job, 3);
  const header = first?.entry.case === "chunk" ? first.entry.value.header : undefined;
  expect(header).toMatchObject({ firstLine: 3n, nextLine: 5n, orderFloorUs: 9_000n, orderLastUs: 9_000n });
  expect([...(header?.detectedLevels ?? [])].map((each) => each & 7)).toEqual([Level.ERROR, Level.INFO]);
  expect(first?.mark).toMatchObject({ blobBytes: 20n, missingLines: 0n });
  expect((await logs.end(job, 1)).nextLine).toBe(3);
});

test("so much late text is kept and no more: what is over is refused with its place, and a gap takes it", async () => {
  const small = new LateLogs(store.journal, logs, systemClock, 10);
  const job = await sealed([{ text: "one\n" }]);
  const { log } = await small.open(job, 1);
  await log.append(chunk(2, [{ text: "12345678\n" }]), sender);
  const refused = await log.append(chunk(3, [{ text: "x\n" }]), sender).catch((error: unknown) => error);
  expect(refused).toMatchObject({
    kind: "invalid",
    message: `Log of job ${job}, attempt 1: late evidence of an attempt is kept up to 10 bytes of text.`,
    details: [{ desc: LogRefusalSchema, value: { nextLine: 3n } }],
  });
  await log.appendGap(create(GapSchema, { firstLine: 3n, lineCount: 5n, cause: GapCause.REFUSED }), sender);
  expect((await small.end(job, 1)).mark).toMatchObject({ blobBytes: 9n, missingLines: 5n });
  const again = await small.open(job, 1);
  expect([again.log.durable.nextLine, again.firstLine]).toEqual([8, 2]);
  await again.log.append(chunk(2, [{ text: "12345678\n" }]), sender);
  await expect(again.log.append(chunk(8, [{ text: "xy\n" }]), sender)).rejects.toMatchObject({ kind: "invalid" });
});

test("the clock of a log is the one of its newest line", async () => {
  const job = `job-${++jobs}`;
  expect(await logs.clockOffsetUs(job, 1)).toBeUndefined();
  const log = await logs.open(job, 1);
  await log.append(chunk(1, [{ text: "one\n" }]), { ...sender, clockOffsetUs: 5 });
  await log.append(chunk(2, [{ text: "two\n" }]), { ...sender, clockOffsetUs: -7 });
  expect(await logs.clockOffsetUs(job, 1)).toBe(-7);
  await logs.seal(job, 1, "given up");
  expect(await logs.clockOffsetUs(job, 1)).toBe(-7);
});
