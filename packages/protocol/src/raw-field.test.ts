import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { JobRecordSchema, JobRecordsSchema } from "./index.ts";
import { addRawMessages, rawFieldHead } from "./raw-field.ts";

test("raw messages are, on the wire, what the same messages are in their field", () => {
  const record = fc
    .record({ id: fc.string({ maxLength: 300 }), reason: fc.string() })
    .map((fields) => create(JobRecordSchema, fields));
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), fc.array(record, { maxLength: 3 }), (first, second) => {
      const raw = create(JobRecordsSchema, { gone: ["x"] });
      for (const some of [first, second])
        addRawMessages(
          raw,
          1,
          some.map((each) => toBinary(JobRecordSchema, each)),
        );
      const usual = create(JobRecordsSchema, { gone: ["x"], records: [...first, ...second] });
      expect(fromBinary(JobRecordsSchema, toBinary(JobRecordsSchema, raw))).toEqual(usual);
      const pieces = [...first, ...second].flatMap((each) => {
        const encoded = toBinary(JobRecordSchema, each);
        return [rawFieldHead(1, encoded), encoded];
      });
      const begun = toBinary(JobRecordsSchema, create(JobRecordsSchema, { gone: ["x"] }));
      expect(fromBinary(JobRecordsSchema, Buffer.concat([begun, ...pieces]))).toEqual(usual);
    }),
  );
});
