import { GapCause } from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LinesUnknown, UnackedLines, type LineRun } from "./unacked-lines.ts";

function chunk(firstLine: number, lineCount: number, bytes = lineCount * 10): LineRun {
  return { kind: "chunk", firstLine, lineCount, bytes: new Uint8Array(bytes) };
}

/** What can happen between a worker and a server. */
const happening = fc.oneof(
  fc.record({ kind: fc.constant("made" as const), lines: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant("sent" as const), credit: fc.integer({ min: 0, max: 100 }) }),
  fc.record({ kind: fc.constant("stored" as const), runs: fc.integer({ min: 1, max: 3 }) }),
  fc.constant({ kind: "acknowledged" as const }),
  fc.constant({ kind: "reconnected" as const }),
);

describe("unacknowledged lines", () => {
  test("reach the server once each and in order, whatever is lost on the way", () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 80 }), (story) => {
        const lines = new UnackedLines();
        let made = 1;
        let stored = 1;
        let wire: LineRun[] = [];
        const storedRuns: number[] = [];
        const store = (count: number) => {
          for (const run of wire.splice(0, count)) {
            const next = run.firstLine + run.lineCount;
            // What the door does: repeated lines are dropped, a hole is an error.
            expect(run.firstLine).toBeLessThanOrEqual(stored);
            for (; stored < next; stored++) storedRuns.push(stored);
          }
        };
        const send = (credit: number) => {
          for (let run = lines.take(credit); run; run = lines.take(credit)) wire.push(run);
        };
        lines.resume(1);
        for (const event of story) {
          if (event.kind === "made") {
            lines.push(chunk(made, event.lines));
            made += event.lines;
          } else if (event.kind === "sent") send(event.credit);
          else if (event.kind === "stored") store(event.runs);
          else if (event.kind === "acknowledged") lines.ack(stored);
          else {
            wire = [];
            lines.resume(stored);
          }
        }
        wire = [];
        lines.resume(stored);
        send(Infinity);
        store(Infinity);
        lines.ack(stored);
        expect(storedRuns).toEqual(Array.from({ length: made - 1 }, (_, i) => i + 1));
        expect([lines.isEmpty, lines.bytes, lines.inFlightBytes]).toEqual([true, 0, 0]);
      }),
    );
  });

  test("are never more on the wire than the credit, except for one chunk that is larger alone", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 500 }),
        (sizes, credit) => {
          const lines = new UnackedLines();
          sizes.forEach((bytes, i) => lines.push(chunk(i + 1, 1, bytes)));
          let acked = 1;
          let onWire: LineRun[] = [];
          while (acked <= sizes.length) {
            for (let run = lines.take(credit); run; run = lines.take(credit)) onWire.push(run);
            const bytes = onWire.reduce((sum, run) => sum + (run.kind === "chunk" ? run.bytes.length : 0), 0);
            expect(lines.inFlightBytes).toBe(bytes);
            expect(bytes <= credit || onWire.length === 1).toBe(true);
            expect(onWire.length).toBeGreaterThan(0);
            lines.ack(++acked);
            onWire = onWire.slice(1);
          }
        },
      ),
    );
  });

  test("are sent again as they are when only a part of a chunk was stored", () => {
    const lines = new UnackedLines();
    const run = chunk(1, 10);
    lines.push(run);
    expect(lines.take(1000)).toBe(run);
    lines.resume(4);
    expect(lines.take(1000)).toBe(run);
  });

  test("that the server had acknowledged and asks for again are declared missing", () => {
    const lines = new UnackedLines();
    lines.push(chunk(1, 10));
    lines.take(1000);
    lines.ack(11);
    lines.push(chunk(11, 2));
    expect(lines.resume(6)).toBe(5);
    expect(lines.take(1000)).toMatchObject({ kind: "gap", firstLine: 6, lineCount: 5, cause: GapCause.STORE_ROLLBACK });
    expect(lines.take(1000)).toMatchObject({ kind: "chunk", firstLine: 11 });
    lines.ack(13);
    expect(lines.isEmpty).toBe(true);
  });

  test("of a refused chunk become a gap, and what follows goes on", () => {
    const lines = new UnackedLines();
    lines.push(chunk(1, 10));
    lines.push(chunk(11, 2));
    lines.take(1);
    expect(lines.refuse("bad")).toMatchObject({ firstLine: 1, lineCount: 10, cause: GapCause.REFUSED, detail: "bad" });
    lines.resume(1);
    expect(lines.take(1000)?.kind).toBe("gap");
    expect(lines.take(1000)).toMatchObject({ kind: "chunk", firstLine: 11 });
    expect(lines.inFlightBytes).toBe(20);
  });

  test("that this process never made are an error", () => {
    const lines = new UnackedLines();
    lines.push(chunk(1, 3));
    expect(() => lines.resume(5)).toThrow(LinesUnknown);
  });
});
