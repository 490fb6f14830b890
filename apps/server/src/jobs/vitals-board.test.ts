import { fromBinary } from "@bufbuild/protobuf";
import { VitalsSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { VitalsBoard } from "./vitals-board.ts";

const linesOf = (encoded: readonly Uint8Array[]) =>
  encoded.map((bytes) => Number(fromBinary(VitalsSchema, bytes).lines));

test("a change that is left for who reads is made once, when somebody looks, and every reader hears of it", () => {
  const board = new VitalsBoard();
  let made = 0;
  let lines = 0n;
  const measure = (vitals: { lines: bigint }) => {
    made++;
    vitals.lines = lines;
  };
  const readers = [0, 0];
  const look = (reader: number) => {
    const changed = linesOf(board.changedSince(readers[reader] ?? 0));
    readers[reader] = board.version;
    return changed;
  };
  for (lines = 1n; lines <= 100n; lines++) board.changeWhenRead("job", measure);
  lines = 100n;
  expect(made).toBe(0);
  expect([look(0), look(1), look(0)]).toEqual([[100], [100], []]);
  expect(made).toBe(1);
  lines = 101n;
  board.changeWhenRead("job", measure);
  expect(board.peek("job")?.lines).toBe(101n);
  // Somebody else looked first: they hear of it all the same.
  expect([look(1), look(0)]).toEqual([[101], [101]]);
});

test("what one measure has left is made before another one takes its place", () => {
  const board = new VitalsBoard();
  board.begin("job", 2);
  board.changeWhenRead("job", (vitals) => (vitals.lines = 7n));
  // That of an attempt that is over changes nothing.
  board.changeWhenRead("job", () => undefined);
  expect(board.get("job")).toMatchObject({ attempt: 2, lines: 7n });
});
