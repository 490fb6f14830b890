import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { JobRecordSchema, JobRecordsSchema } from "./index.ts";
import { addRawMessages, encodePieces, rawFieldHead } from "./raw-field.ts";

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

test("the pieces of a message are what it is encoded, and large raw messages in it are not copied", () => {
  const bytes = fc.constantFrom(0, 1, 127, 128, 5_000, 16 * 1024, 70_000);
  const around = fc.constantFrom(0, 100, 1_000_000);
  const record = fc.record({ bytes, around }).map(({ bytes, around }) => {
    const encoded = toBinary(JobRecordSchema, create(JobRecordSchema, { id: "x".repeat(bytes) }));
    const buffer = new Uint8Array(encoded.length + around);
    buffer.set(encoded, around);
    return buffer.subarray(around);
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 6 }), fc.array(record, { maxLength: 3 }), (first, second) => {
      const message = create(JobRecordsSchema, { gone: ["x"] });
      for (const some of [first, second]) addRawMessages(message, 1, some);
      const pieces = encodePieces(JobRecordsSchema, message);
      expect(Buffer.concat(pieces).equals(toBinary(JobRecordsSchema, message))).toBe(true);
      // What would keep much more than itself in memory is copied, however large.
      const large: Uint8Array[] = [...first, ...second].filter(
        ({ length, buffer }) => length >= 16 * 1024 && buffer.byteLength <= length * 4,
      );
      expect(pieces.filter((piece) => piece.length >= 16 * 1024 && large.includes(piece))).toEqual(large);
      expect(pieces.every((piece) => piece.length > 0)).toBe(true);
    }),
  );
});
