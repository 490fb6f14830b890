import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { InputEntrySchema } from "@signalbox/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import { Conflict, NotStored, UnknownOutcome, type Store } from "../store/store.ts";
import { journalOpenedBy } from "../testing/journal-opened-by.ts";
import { serverActor } from "./dispatch.ts";
import { pause } from "../pause.ts";
import { InputDoor, inputBoundBytes, largestPieceBytes } from "./input-door.ts";

let folder: string;
let store: Store;
let jobs = 0;
const never = new AbortController().signal;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signalbox-input-"));
  store = await openSqliteStore({ folder });
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const newDoor = (journal = store.journal, jobId = `job-${++jobs}`) =>
  new InputDoor({ journal, clock: systemClock, roomWithinMs: 10_000 }, jobId, 1);

async function storedIn({ topic }: InputDoor): Promise<string> {
  const entries = await store.journal.read(topic, 0);
  return Buffer.concat(entries.map(({ data }) => fromBinary(InputEntrySchema, data).data)).toString();
}

test("pieces sent ahead wait behind one that waits for room, and each is stored in its turn", async () => {
  const door = newDoor();
  const at = (index: number, eof = false) =>
    door.send(
      { offset: index * largestPieceBytes, data: Buffer.alloc(largestPieceBytes, index), eof },
      serverActor,
      never,
    );
  const most = inputBoundBytes / largestPieceBytes;
  for (let index = 0; index < most; index++) await at(index);
  const ahead = [at(most), at(most + 1), at(most + 2, true)];
  const ends = Promise.all(ahead);
  // A turn of the door: the three have been looked at.
  await door.send({ offset: 0, data: Buffer.alloc(1), eof: false }, serverActor, never);
  door.setTaken(largestPieceBytes);
  door.setTaken(3 * largestPieceBytes);
  expect((await ends).at(-1)).toBe((most + 3) * largestPieceBytes);
  expect(door.stored.isClosed).toBe(true);
});

test("a piece behind one whose sender has gone is refused with the place to go on from", async () => {
  const door = newDoor();
  const gone = new AbortController();
  const data = Buffer.alloc(largestPieceBytes);
  for (let offset = 0; offset < inputBoundBytes; offset += data.length)
    await door.send({ offset, data, eof: false }, serverActor, never);
  const first = door.send({ offset: inputBoundBytes, data, eof: false }, serverActor, gone.signal);
  const second = door.send({ offset: inputBoundBytes + data.length, data, eof: false }, serverActor, never);
  gone.abort();
  await expect(first).rejects.toThrow("aborted");
  await expect(second).rejects.toThrow(`the input of job ${door.jobId} ends at ${inputBoundBytes}. Go on from there`);
});

const text = "the quick brown fox jumps over the lazy dog";
/** A sender that says the text's bytes, or others, wherever it thinks it is. */
const piece = fc.record({
  offset: fc.option(fc.nat({ max: text.length + 2 }), { nil: undefined }),
  length: fc.nat({ max: 12 }),
  isWrong: fc.boolean(),
  eof: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
});

test("whatever is sent, in whatever order and however often, the input only grows at its end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 25 }), async (pieces) => {
      let door = newDoor();
      let model = "";
      let isClosed = false;
      for (const { offset, length, isWrong, eof } of pieces) {
        const from = offset ?? model.length;
        const data = isWrong ? "#".repeat(length) : text.slice(from, from + length);
        const fresh = model.length >= from ? data.slice(model.length - from) : data;
        const isSame = from <= model.length && model.slice(from).startsWith(data.slice(0, model.length - from));
        const goesTo = from + data.length;
        const isRepeated = isSame && fresh === "" && (!eof || (isClosed && goesTo === model.length));
        const isNew = isSame && !isClosed && (fresh !== "" || eof) && !(eof && goesTo < model.length);
        const isTaken = isClosed && offset === undefined ? false : isRepeated || isNew;
        const sent = door.send({ offset, data: Buffer.from(data), eof }, serverActor, never);
        if (isTaken) {
          if (isNew) {
            model += fresh;
            isClosed = eof;
          }
          expect(await sent).toBe(model.length);
        } else {
          await expect(sent).rejects.toMatchObject({ name: "Refused" });
        }
        expect(door.stored).toEqual({ end: model.length, isClosed });
      }
      expect(await storedIn(door)).toBe(model);
      // Another process that opens the topic finds the same end.
      door = newDoor(store.journal, door.jobId);
      await door.send({ offset: 0, data: new Uint8Array(), eof: false }, serverActor, never);
      expect(door.stored).toEqual({ end: model.length, isClosed });
    }),
    { numRuns: 25 },
  );
});

test.each([
  ["was stored all the same", true],
  ["was not stored", false],
])(
  "a piece of which the store does not say whether it was stored, and that %s, is there once",
  async (_what, lands) => {
    let failures = 1;
    const door = newDoor(
      journalOpenedBy(store.journal, async (topic, expectedLast) => {
        const writer = await store.journal.open(topic, expectedLast);
        return {
          topic,
          opened: writer.opened,
          append: async (data, mark) => {
            const isBroken = failures-- > 0;
            if (lands || !isBroken) await writer.append(data, mark);
            if (isBroken) throw new UnknownOutcome("the disk did not answer");
            return 0;
          },
        };
      }),
    );
    expect(await door.send({ offset: undefined, data: Buffer.from("once"), eof: true }, serverActor, never)).toBe(4);
    expect(await storedIn(door)).toBe("once");
    expect(door.stored).toEqual({ end: 4, isClosed: true });
  },
);

test.each([
  ["with offsets", "was stored all the same", true, true],
  ["with offsets", "was not stored", true, false],
  ["without offsets", "was stored all the same", false, true],
  ["without offsets", "was not stored", false, false],
])(
  "pieces %s that are all under way when the store fails, at one that %s, are there once each and in order",
  async (_with, _what, placed, lands) => {
    let left = 3;
    let mostAtOnce = 0;
    const door = newDoor(
      journalOpenedBy(store.journal, async (topic, expectedLast) => {
        const writer = await store.journal.open(topic, expectedLast);
        let underWay = 0;
        let dead = false;
        return {
          topic,
          opened: writer.opened,
          append: async (data, mark) => {
            mostAtOnce = Math.max(mostAtOnce, ++underWay);
            const isFirstBroken = left-- === 1;
            const isDead = (dead ||= isFirstBroken);
            if (!isDead || (isFirstBroken && lands)) await writer.append(data, mark);
            await pause(10, never);
            underWay--;
            if (isDead) throw new UnknownOutcome("the disk did not answer");
            return 0;
          },
        };
      }),
    );
    const pieces = Array.from({ length: 8 }, (_, i) => `piece ${i};`);
    await Promise.all(
      pieces.map((data, i) =>
        door.send(
          { offset: placed ? i * data.length : undefined, data: Buffer.from(data), eof: i === 7 },
          serverActor,
          never,
        ),
      ),
    );
    expect(await storedIn(door)).toBe(pieces.join(""));
    expect(door.stored).toEqual({ end: 64, isClosed: true });
    expect(mostAtOnce).toBeGreaterThan(1);
  },
);

/** A door whose store fails as `fails` says, by the number of the append; what failed was not stored, and its writer is dead. */
function failingDoor(fails: (append: number) => Error | undefined): InputDoor {
  let appends = 0;
  return newDoor(
    journalOpenedBy(store.journal, async (topic, expectedLast) => {
      const writer = await store.journal.open(topic, expectedLast);
      let dead: Error | undefined;
      return {
        topic,
        opened: writer.opened,
        append: async (data, mark) => {
          dead ??= fails(++appends);
          if (!dead) return writer.append(data, mark);
          const error = dead;
          await pause(10, never);
          throw error;
        },
      };
    }),
  );
}

test("an end that was not stored is not told, though all before it is there", async () => {
  const door = failingDoor((append) => (append === 2 ? new NotStored("no room") : undefined));
  const told: boolean[] = [];
  door.onChange(() => told.push(door.stored.isClosed));
  const data = door.send({ offset: undefined, data: Buffer.from("all of it"), eof: false }, serverActor, never);
  const end = door.send({ offset: undefined, data: new Uint8Array(), eof: true }, serverActor, never);
  await expect(end).rejects.toThrow("no room");
  expect(await data).toBe(9);
  expect(told).not.toContain(true);
  expect(await door.send({ offset: undefined, data: Buffer.from(", and more"), eof: true }, serverActor, never)).toBe(
    19,
  );
});

test("where the sender of an earlier piece has gone, a piece without an offset takes its place", async () => {
  const door = failingDoor((append) => (append === 1 ? new UnknownOutcome("the disk did not answer") : undefined));
  const gone = new AbortController();
  const first = door.send({ offset: undefined, data: Buffer.from("first"), eof: false }, serverActor, gone.signal);
  const second = door.send({ offset: undefined, data: Buffer.from("second"), eof: false }, serverActor, never);
  gone.abort(new Error("gone"));
  await expect(first).rejects.toThrow("gone");
  expect(await second).toBe(6);
  expect(await storedIn(door)).toBe("second");
});

test("where another process was first, a piece without an offset goes after it, and one with an offset is refused", async () => {
  const [ours, theirs] = [newDoor(), newDoor(store.journal, `job-${jobs}`)];
  const say = (door: InputDoor, data: string, offset?: number) =>
    door.send({ offset, data: Buffer.from(data), eof: false }, serverActor, never);
  await say(ours, "a");
  await say(theirs, "b");
  expect(await say(ours, "c")).toBe(3);
  await expect(say(theirs, "d", 2)).rejects.toMatchObject({ kind: "stale" });
  expect(await storedIn(ours)).toBe("abc");
});

test("a store that does not answer is not asked for ever", async () => {
  let appends = 0;
  const door = newDoor(
    journalOpenedBy(store.journal, async (topic) => ({
      topic,
      opened: undefined,
      append: async () => {
        appends++;
        throw new Conflict("always somebody else");
      },
    })),
  );
  await expect(
    door.send({ offset: undefined, data: Buffer.from("x"), eof: false }, serverActor, never),
  ).rejects.toBeInstanceOf(Conflict);
  expect(appends).toBe(5);
});
