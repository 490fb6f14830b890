import fc from "fast-check";
import { expect, test } from "vitest";
import type { JournalEntry } from "../store.ts";
import { CommitBuffer, RecentEntries } from "./recent-entries.ts";

const topics = fc.constantFrom("a", "b", "c");
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ add: topics, bytes: fc.nat({ max: 300 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ read: topics, back: fc.nat({ max: 30 }), maxEntries: fc.integer({ min: 1, max: 9 }) }),
  },
  { weight: 1, arbitrary: fc.record({ trim: topics, back: fc.nat({ max: 30 }) }) },
);

/** Adds an entry with its bytes between those of others. */
function add(recent: RecentEntries, topic: string, previous: number, { data, ...rest }: JournalEntry): void {
  const bytes = new ArrayBuffer(data.length + 12);
  new Uint8Array(bytes, 7).set(data);
  const buffer = new CommitBuffer(bytes);
  recent.add(topic, previous, { ...rest, buffer, offset: 7, bytes: data.length });
  buffer.release();
}

test("what is kept equals the whole topic from there on, and what is not kept is never guessed", () => {
  const maxBytes = 5_000;
  const maxRead = 500;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.constantFrom(4, 32, 64), (steps, size) => {
      // So small that it grows, and is full, again and again.
      const recent = new RecentEntries(maxBytes, size);
      const all = new Map<string, JournalEntry[]>([..."abc"].map((topic) => [topic, []]));
      let position = 0;
      for (const one of steps) {
        if ("add" in one) {
          const entries = all.get(one.add)!;
          const data = new Uint8Array(one.bytes).fill(position);
          const entry = { position: ++position, mark: position * 2, sealed: position % 5 === 0, data };
          add(recent, one.add, entries.at(-1)?.position ?? 0, entry);
          entries.push(entry);
          expect(recent.last(one.add)).toEqual(entry);
        } else if ("trim" in one) {
          const before = position - one.back;
          recent.trim(one.trim, before);
          const entries = all.get(one.trim)!;
          all.set(one.trim, [
            ...entries.slice(0, -1).filter((entry) => entry.position >= before),
            ...entries.slice(-1),
          ]);
        } else {
          const from = Math.max(0, position - one.back);
          const after = all.get(one.read)!.filter((entry) => entry.position > from);
          const found = recent.after(one.read, from, one.maxEntries, maxRead);
          if (!found) continue;
          let bytes = 0;
          const expected = after
            .slice(0, one.maxEntries)
            .filter((entry, i) => (bytes += entry.data.byteLength) <= maxRead || i === 0);
          expect(found).toEqual(expected);
        }
        expect(recent.bytes).toBeLessThanOrEqual(maxBytes);
      }
      // The newest entry of all is always kept: it is smaller than the bound.
      const newest = [...all].find(([, entries]) => position > 0 && entries.at(-1)?.position === position);
      if (newest) expect(recent.last(newest[0])).toBeDefined();
    }),
    { numRuns: 300 },
  );
});

test("entries that were dropped are let go of", () => {
  const recent = new RecentEntries(10_000);
  for (let i = 1; i <= 100_000; i++) {
    add(recent, "a", i - 1, { position: i, mark: i, sealed: false, data: new Uint8Array(800) });
  }
  expect(recent.bytes).toBeLessThanOrEqual(10_000);
  expect(recent.after("a", 99_990, 1_000, 1e6)?.map(({ position }) => position)).toEqual([
    99_991, 99_992, 99_993, 99_994, 99_995, 99_996, 99_997, 99_998, 99_999, 100_000,
  ]);
  expect(recent.after("a", 99_980, 1_000, 1e6)).toBeUndefined();
});

test("a topic that is trimmed as it grows takes no room, though an old entry of another one is still there", () => {
  const recent = new RecentEntries(1_000_000);
  add(recent, "still", 0, { position: 1, mark: 0, sealed: false, data: new Uint8Array(10) });
  for (let i = 2; i <= 100_000; i++) {
    add(recent, "a", i - 1, { position: i, mark: i, sealed: false, data: new Uint8Array(10) });
    recent.trim("a", i);
  }
  expect(recent.bytes).toBeLessThanOrEqual(300);
  expect(recent.last("a")?.position).toBe(100_000);
  expect(recent.last("still")).toBeUndefined();
});

test("a topic whose only entry makes room for its next one goes on with that", () => {
  const recent = new RecentEntries(800, 8);
  const addOne = (name: string, previous: number, position: number) =>
    add(recent, name, previous, { position, mark: 0, sealed: false, data: new Uint8Array(10) });
  addOne("a", 0, 1);
  // The others have gone, but their places are taken until their turn comes.
  for (let position = 2; position <= 8; position++) {
    addOne("trimmed", position - 1, position);
    recent.trim("trimmed", position + 1);
  }
  addOne("a", 1, 9);
  expect(recent.last("a")?.position).toBe(9);
  addOne("a", 9, 10);
  expect(recent.after("a", 1, 10, 1_000)?.map(({ position }) => position)).toEqual([9, 10]);
});

test("the buffer of a commit is freed with the last of its entries, unless a reader had one", () => {
  const recent = new RecentEntries(2_000);
  const buffers = Array.from({ length: 3 }, () => new ArrayBuffer(100));
  let position = 0;
  for (const bytes of buffers) {
    const buffer = new CommitBuffer(bytes);
    for (const topic of ["a", "b"])
      recent.add(topic, 0, { position: ++position, mark: 0, sealed: false, buffer, offset: 0, bytes: 50 });
    buffer.release();
  }
  const read = recent.after("a", 1, 1, 1_000);
  recent.trim("a", 100);
  expect(buffers.map(({ byteLength }) => byteLength)).toEqual([100, 100, 100]);
  recent.trim("b", 100);
  expect(buffers.map(({ byteLength }) => byteLength)).toEqual([0, 100, 0]);
  expect(read?.[0]?.data).toEqual(new Uint8Array(50));
});

test("a reader who keeps a small entry of a large commit does not keep the commit", () => {
  const recent = new RecentEntries(2_000_000);
  const bytes = new Uint8Array(1_000_000).fill(7);
  const buffer = new CommitBuffer(bytes.buffer);
  recent.add("large", 0, { position: 1, mark: 0, sealed: false, buffer, offset: 0, bytes: 999_900 });
  recent.add("small", 0, { position: 2, mark: 0, sealed: false, buffer, offset: 999_900, bytes: 100 });
  buffer.release();
  const read = recent.after("small", 0, 1, 1_000);
  recent.trim("small", 100);
  recent.trim("large", 100);
  expect(bytes.buffer.byteLength).toBe(0);
  expect(read?.[0]?.data).toEqual(new Uint8Array(100).fill(7));
});

test("the buffer of a commit of which no entry is kept is freed", () => {
  const bytes = new ArrayBuffer(100);
  new CommitBuffer(bytes).release();
  expect(bytes.byteLength).toBe(0);
});
