import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkBuilder,
  chunkFault,
  ChunkHeaderSchema,
  ChunkLines,
  GapCause,
  Level,
  LogChunkSchema,
} from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ChunkRun, LineRun } from "../unacked-lines.ts";
import { withoutDebug } from "./without-debug.ts";

const line = fc.record({
  text: fc.string({ maxLength: 20 }),
  level: fc.constantFrom(Level.UNSPECIFIED, Level.TRACE, Level.DEBUG, Level.INFO, Level.ERROR),
  fields: fc.option(fc.constant({ a: "b" }), { nil: undefined }),
  timeUs: fc.integer({ min: 0, max: 1_000_000 }),
});

/** What every line of a run is; `undefined` for a missing one. */
function linesOf(run: LineRun): (object | undefined)[] {
  if (run.kind === "gap") {
    expect(run.cause).toBe(GapCause.DROPPED_DEBUG);
    return Array.from({ length: run.lineCount }, () => undefined);
  }
  const body = fromBinary(ChunkBodySchema, run.bytes);
  expect(chunkFault(body)).toBeUndefined();
  expect([Number(body.firstLine), body.lineCount]).toEqual([run.firstLine, run.lineCount]);
  const lines = new ChunkLines(create(LogChunkSchema, { header: create(ChunkHeaderSchema), body }));
  return Array.from({ length: lines.count }, (_, i) => ({
    text: Buffer.from(lines.bytes(i)).toString(),
    level: lines.level(i),
    timeUs: lines.workerTimeUs(i),
    fields: { ...lines.attributes(i)?.fields },
  }));
}

test("a chunk without its DEBUG and TRACE lines has all others as they were, under the same numbers", () => {
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 1e9 }),
      (lines, firstLine) => {
        const builder = new ChunkBuilder();
        for (const { text, fields, ...info } of lines)
          builder.add(Buffer.from(`${text}\n`), fields ? { ...info, fields } : info);
        const run: ChunkRun = { kind: "chunk", firstLine, lineCount: lines.length, bytes: builder.build(firstLine) };
        const kept = withoutDebug(run, "full");
        expect(kept.map((each) => each.firstLine)).toEqual(
          kept.map((_, i) => kept.slice(0, i).reduce((sum, each) => sum + each.lineCount, firstLine)),
        );
        const expected = linesOf(run).map((each, i) =>
          lines[i]?.level === Level.DEBUG || lines[i]?.level === Level.TRACE ? undefined : each,
        );
        expect(kept.flatMap(linesOf)).toEqual(expected);
      },
    ),
  );
});
