import { create, toBinary } from "@bufbuild/protobuf";
import { JobRecordsSchema, WatchResponseSchema, addRawMessages } from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { RecentRecords } from "../store/sqlite/recent-records.ts";
import { messages, TableReaders, type Messages, type WatchedTable } from "./table-readers.ts";

const watched: WatchedTable = {
  name: "jobs",
  revision: 0,
  encode: ({ data }) => data,
  message: (records, gone) => {
    const value = create(JobRecordsSchema, { gone });
    addRawMessages(value, 1, records);
    return { case: "records", value };
  },
};

const wire = (made: Messages) =>
  made.map(([message, revision]) => [
    revision,
    Buffer.from(toBinary(WatchResponseSchema, create(WatchResponseSchema, { message }))).toString("base64"),
  ]);

test("what readers share is, byte for byte, what each would have made for itself, in every order of changes and readings", () => {
  const change = fc.record({ key: fc.constantFrom("a", "b", "c"), bytes: fc.option(fc.uint8Array({ maxLength: 8 })) });
  const readings = fc.array(fc.oneof(change, fc.record({ reader: fc.nat(3) })), { maxLength: 60 });
  fc.assert(
    fc.property(readings, (steps) => {
      const recent = new RecentRecords(10_000);
      const readers = new TableReaders();
      const at = [0, 0, 0, 0];
      let revision = 0;
      for (const step of steps) {
        if ("key" in step) {
          const data = step.bytes ?? undefined;
          recent.add("jobs", { key: step.key, revision: ++revision, ...(data ? { data } : { data: undefined }) });
          continue;
        }
        const from = at[step.reader] ?? 0;
        const run = recent.after("jobs", from, 100, 1_000) ?? [];
        const last = run.at(-1);
        if (!last) continue;
        expect(wire(readers.messages(watched, run, from))).toEqual(wire([...messages(watched, run, false)]));
        at[step.reader] = last.revision;
      }
    }),
  );
});

test("readers that stand at the same place are given one message", () => {
  const readers = new TableReaders();
  const run = [{ key: "a", revision: 1, data: Uint8Array.of(8, 1) }];
  expect(readers.messages(watched, run, 0)).toBe(readers.messages(watched, [...run], 0));
  expect(readers.messages(watched, run, 0)).not.toBe(readers.messages({ ...watched, name: "workers" }, run, 0));
});
