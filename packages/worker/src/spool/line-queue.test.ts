import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AttemptEndSchema, ChunkBodySchema, ChunkBuilder, GapCause, Level } from "@signalbox/protocol";
import { plural } from "@signalbox/protocol/format";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LineRun } from "../unacked-lines.ts";
import { AttemptFiles } from "./attempt-files.ts";
import { readSpool } from "./left-spools.ts";
import { LineQueue } from "./line-queue.ts";
import { seedOf } from "./records.ts";
import { encodeNote, type SpoolNote } from "./spool-note.ts";
import { SpooledLog } from "./spooled-log.ts";
import { openAttempt } from "./left-spools.ts";
import { leftWords } from "./spool-delivery.ts";
import { writeText } from "./write-text.ts";

// Each writes hundreds of files.
vi.setConfig({ testTimeout: 120_000 });
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "line-queue-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const note: SpoolNote = {
  workerId: "w",
  incarnation: "i".repeat(16),
  transient: false,
  urls: [],
  type: "test",
  name: "test",
  begunAtMs: 0,
  jobId: "a",
  attempt: 1,
  storeId: "store",
  request: "",
  end: "",
};

interface Keeps {
  kept: boolean;
  writes: boolean;
}

let made = 0;

function openQueue(state: Keeps = { kept: true, writes: true }, segmentBytes = 400) {
  const files = new AttemptFiles({
    folder: () => Promise.resolve(folder),
    prefix: String(++made).padStart(6, "0"),
    seed: seedOf(""),
    note: () => encodeNote(note),
    segmentBytes,
    onDamage: () => undefined,
  });
  const queue = new LineQueue({
    files,
    mayKeep: () => state.kept,
    mayWrite: () => state.writes,
    changed: () => undefined,
    onTrouble: (reason) => {
      if (reason !== undefined) throw new Error(reason);
    },
    onUnreadable: fail,
    dropDetail: "full",
    onDropped: () => undefined,
  });
  return { files, queue };
}

function chunk(firstLine: number, texts: readonly string[], level: Level = Level.INFO) {
  const builder = new ChunkBuilder();
  for (const text of texts) builder.add(Buffer.from(`${text}\n`), { timeUs: 1, level });
  const hasDebug = level === Level.DEBUG;
  return { kind: "chunk", firstLine, lineCount: texts.length, bytes: builder.build(firstLine), hasDebug } as const;
}

/** What the door of an attempt does: takes what follows, cuts what it has, and never a hole. */
class Door {
  readonly lines = new Map<number, string>();
  readonly gaps: { first: number; count: number; cause: GapCause }[] = [];
  nextLine = 1;

  take(run: LineRun): void {
    expect(run.firstLine).toBeLessThanOrEqual(this.nextLine);
    const end = run.firstLine + run.lineCount;
    if (end <= this.nextLine) return;
    if (run.kind === "gap") this.gaps.push({ first: this.nextLine, count: end - this.nextLine, cause: run.cause });
    else {
      const body = fromBinary(ChunkBodySchema, run.bytes);
      expect(Number(body.firstLine)).toBe(run.firstLine);
      const texts = Buffer.from(body.blob).toString().split("\n");
      for (let line = this.nextLine; line < end; line++) this.lines.set(line, texts[line - run.firstLine] ?? "");
    }
    this.nextLine = end;
  }
}

const settled = async (queue: LineQueue) => {
  for (let i = 0; i < 3; i++) {
    await queue.flushed();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};

/** Takes until nothing comes any more. */
async function takeAll(source: Pick<LineQueue, "take" | "ack"> & { isDone: () => boolean }, door: Door) {
  const deadline = performance.now() + 10_000;
  while (!source.isDone()) {
    const run = source.take(1e9);
    if (run) {
      door.take(run);
      source.ack(door.nextLine);
    } else {
      if (performance.now() > deadline) throw new Error(`nothing comes behind line ${door.nextLine}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const happening = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("made" as const), lines: fc.integer({ min: 1, max: 8 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("sent" as const), credit: fc.integer({ min: 0, max: 1500 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("stored" as const), runs: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.constant({ kind: "acknowledged" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reconnected" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "waited" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "tidied" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("memory" as const), isFree: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: "dropped" as const }) },
);

describe("lines in files", () => {
  test("reach the server once each and in order, whatever happens on the way, and again from what a killed process left", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 40 }), fc.boolean(), async (story, killed) => {
        await rm(folder, { recursive: true, force: true });
        folder = await mkdtemp(join(tmpdir(), "line-queue-"));
        const state = { kept: true, writes: true };
        const { queue } = openQueue(state);
        const door = new Door();
        let wire: LineRun[] = [];
        let next = 1;
        queue.resume(1);
        for (const event of story) {
          if (event.kind === "made") {
            queue.push(
              chunk(
                next,
                Array.from({ length: event.lines }, (_, i) => `line ${next + i}`),
              ),
            );
            next += event.lines;
          } else if (event.kind === "sent") {
            for (let run = queue.take(event.credit); run; run = queue.take(event.credit)) wire.push(run);
          } else if (event.kind === "stored") for (const run of wire.splice(0, event.runs)) door.take(run);
          else if (event.kind === "acknowledged") queue.ack(door.nextLine);
          else if (event.kind === "waited") await settled(queue);
          else if (event.kind === "tidied") await queue.tidy();
          else if (event.kind === "memory") state.kept = event.isFree;
          else if (event.kind === "dropped") await queue.drop(300, "drop-oldest");
          else {
            wire = [];
            queue.resume(door.nextLine);
          }
        }
        await settled(queue);
        if (killed) {
          for (const left of await readSpool(folder)) {
            const log = new SpooledLog(await openAttempt(left, fail), left, fail);
            log.startStreaming(door.nextLine);
            await takeAll({ take: (c) => log.take(c), ack: (n) => log.ack(n), isDone: () => log.isDrained }, door);
            await log.close({ keepFiles: false });
          }
        } else {
          queue.resume(door.nextLine);
          await takeAll({ take: (c) => queue.take(c), ack: (n) => queue.ack(n), isDone: () => queue.isEmpty }, door);
          await settled(queue);
          expect([queue.waitingBytes, queue.spooledBytes, queue.inFlightBytes]).toEqual([0, 0, 0]);
          await queue.tidy();
        }
        expect(door.nextLine).toBe(next);
        for (const [line, text] of door.lines) expect(text).toBe(`line ${line}`);
        const missing = door.gaps.reduce((sum, { count }) => sum + count, 0);
        expect(door.lines.size + missing).toBe(next - 1);
        expect(door.gaps.every(({ cause }) => cause === GapCause.DROPPED_OLDEST)).toBe(true);
        expect(await readdir(folder)).toEqual([]);
        await queue.close({ keepFiles: false });
      }),
      { numRuns: 60 },
    );
  });

  test("are given out only when they are written", async () => {
    const state = { kept: true, writes: false };
    const { queue } = openQueue(state);
    queue.resume(1);
    queue.push(chunk(1, ["one"]));
    await settled(queue);
    expect(queue.take(1e9)).toBeUndefined();
    expect([queue.waitingBytes > 0, queue.spooledBytes]).toEqual([true, 0]);
    state.writes = true;
    queue.tryAgain();
    await settled(queue);
    expect(queue.take(1e9)).toMatchObject({ firstLine: 1 });
    expect([queue.waitingBytes, queue.spooledBytes > 0]).toEqual([0, true]);
    await queue.close({ keepFiles: false });
  });

  test("of the levels DEBUG and TRACE are dropped oldest first, with their exact numbers, and others stay", async () => {
    const { queue } = openQueue({ kept: false, writes: true });
    queue.resume(1);
    const level = (line: number) => (line % 3 === 0 ? Level.INFO : Level.DEBUG);
    for (let line = 1; line <= 300; line++) {
      queue.push(chunk(line, [`line ${line}`], level(line)));
      if (line % 10 === 0) await settled(queue);
    }
    const before = queue.spooledBytes;
    const dropped = await queue.drop(before / 2, "drop-oldest-debug");
    expect(dropped).toBeGreaterThan(before / 4);
    expect(queue.spooledBytes).toBe(before - dropped);
    const door = new Door();
    await takeAll({ take: (c) => queue.take(c), ack: (n) => queue.ack(n), isDone: () => queue.isEmpty }, door);
    const missing = door.gaps.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
    expect(missing.length).toBeGreaterThan(50);
    expect(missing.every((line) => level(line) === Level.DEBUG)).toBe(true);
    expect(door.gaps.every(({ cause }) => cause === GapCause.DROPPED_DEBUG)).toBe(true);
    expect(Math.max(...missing)).toBeLessThan(300);
    for (let line = 1; line <= 300; line++) expect(door.lines.has(line)).toBe(!missing.includes(line));
    await queue.close({ keepFiles: false });
  });

  test.each([
    { isSent: false, first: 1 },
    { isSent: true, first: 41 },
  ])("are dropped oldest first though they are in memory, too: from line $first on", async ({ isSent, first }) => {
    const { queue, files } = openQueue();
    queue.resume(1);
    const door = new Door();
    for (let line = 1; line <= 300; line++) {
      queue.push(chunk(line, [`line ${line}`]));
      if (line % 20 === 0) await settled(queue);
      // What is on the wire stays.
      if (isSent && line === 40) for (let run = queue.take(1e9); run; run = queue.take(1e9)) door.take(run);
    }
    const before = files.bytes;
    expect(await queue.drop(before / 2, "drop-oldest")).toBeGreaterThan(before / 4);
    expect(files.bytes).toBeLessThan(before * 0.75);
    await takeAll({ take: (c) => queue.take(c), ack: (n) => queue.ack(n), isDone: () => queue.isEmpty }, door);
    const [gap] = door.gaps;
    // No part of a file is dropped.
    expect(gap?.first).toBeGreaterThanOrEqual(first);
    expect(gap?.first).toBeLessThan(first + 10);
    expect(door.gaps.length).toBe(1);
    expect(door.lines.size + (gap?.count ?? 0)).toBe(300);
    await queue.close({ keepFiles: false });
  });

  test.each(["ended", "was killed"] as const)(
    "whose last record is damaged are declared where their process %s, or a line says that they may be missing",
    async (fate) => {
      const { queue, files } = openQueue(undefined, 1e6);
      for (let line = 1; line <= 30; line += 10) {
        queue.push(
          chunk(
            line,
            Array.from({ length: 10 }, (_, i) => `line ${line + i}`),
          ),
        );
        await settled(queue);
      }
      const end = toBinary(AttemptEndSchema, create(AttemptEndSchema, { endLine: 31n }));
      const [segment] = files.segments;
      const { path = "" } = segment ?? {};
      const before = await readFile(path);
      if (fate === "ended") {
        files.noteIs(encodeNote({ ...note, end: Buffer.from(end).toString("base64") }));
        queue.note();
      }
      await queue.close({ keepFiles: true });
      const bytes = await readFile(path);
      const head = before.lastIndexOf(Buffer.from([0x5b, 0x4c, 1, 1]));
      bytes.writeUInt8(bytes.readUInt8(head + 10) ^ 0xff, head + 10);
      await writeFile(path, bytes);
      const [left] = await readSpool(folder);
      if (!left) throw new Error("nothing is left");
      const log = new SpooledLog(await openAttempt(left, () => undefined), left, fail);
      log.startStreaming(1);
      const door = new Door();
      await takeAll({ take: (c) => log.take(c), ack: (n) => log.ack(n), isDone: () => log.isDrained }, door);
      await log.close({ keepFiles: false });
      const told = "The end of the worker's spool is damaged: lines after 20 may be missing.";
      expect(door.gaps).toEqual(fate === "ended" ? [{ first: 21, count: 10, cause: GapCause.SPOOL_CORRUPT }] : []);
      expect(door.lines.get(21)).toBe(fate === "ended" ? undefined : told);
      expect(door.nextLine).toBe(fate === "ended" ? 31 : 22);
      expect(left).toMatchObject({ lostLines: fate === "ended" ? 10 : 0, isEndDamaged: fate !== "ended" });
    },
  );

  test("that were dropped are told apart from those that are left and those that are damaged", async () => {
    const { queue } = openQueue({ kept: false, writes: true });
    for (let line = 1; line <= 40; line++) {
      queue.push(chunk(line, ["x".repeat(100)]));
      await settled(queue);
    }
    await queue.drop(1500, "drop-oldest");
    await queue.close({ keepFiles: true });
    const [left] = await readSpool(folder);
    if (!left) throw new Error("nothing is left");
    const missing = (await writeText(left, () => Promise.resolve())).reduce((sum, gap) => sum + gap.lineCount, 0);
    expect(missing).toBeGreaterThan(5);
    expect(left).toMatchObject({ nextLine: 41, lostLines: 0, droppedLines: missing });
    expect(leftWords(left)).toBe(`${plural(40 - missing, "line")}; ${missing} had been dropped`);
  });

  test("are off the disk when their files are cleared, also those that are just being freed", async () => {
    for (let round = 0; round < 20; round++) {
      const { files } = openQueue();
      for (let line = 1; line <= 8; line++) {
        const run = chunk(line, ["x".repeat(500)]);
        await files.write({ runs: [run], hasDebug: false });
      }
      await files.close();
      const freed = [files.free(4), files.free(9)];
      await files.clear();
      expect(await readdir(folder)).toEqual([]);
      await Promise.all(freed);
    }
  });

  test("that are dropped for long are one gap and one file", async () => {
    const { queue, files } = openQueue({ kept: false, writes: true });
    queue.resume(1);
    for (let line = 1; line <= 400; line++) {
      queue.push(chunk(line, [`line ${line}`]));
      if (line % 20 === 0) {
        await settled(queue);
        await queue.drop(300, "drop-oldest");
      }
    }
    const gaps = files.segments.filter(({ isDropped }) => isDropped);
    expect(gaps.length).toBe(1);
    const door = new Door();
    await takeAll({ take: (c) => queue.take(c), ack: (n) => queue.ack(n), isDone: () => queue.isEmpty }, door);
    expect(door.gaps.length).toBe(1);
    expect(door.lines.size + (door.gaps[0]?.count ?? 0)).toBe(400);
    await queue.close({ keepFiles: false });
  });
});

function fail(reason: string): never {
  throw new Error(reason);
}
