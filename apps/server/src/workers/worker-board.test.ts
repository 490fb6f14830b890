import { create, fromBinary } from "@bufbuild/protobuf";
import { HelloSchema, WorkerHeartbeatSchema, WorkerLinkState, WorkerVitalsSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { figuresOf, noFigures } from "./link-figures.ts";
import { WorkerBoard } from "./worker-board.ts";
import { WorkerSession } from "./worker-session.ts";

const hello = create(HelloSchema, { workerId: "w1", incarnation: "i".repeat(16), slots: 1 });

/** A board with one connected worker, on clocks that stand still. */
function boardOfOne() {
  const time = { ms: 0 };
  const board = new WorkerBoard(
    () => [],
    () => time.ms,
  );
  const session = new WorkerSession(hello, 1n, 0);
  board.connect(session, 1);
  return { board, session, time };
}

const read = (board: WorkerBoard, since: number) =>
  board.changedSince(since).map((bytes) => fromBinary(WorkerVitalsSchema, bytes));

test("what is measured is told once a second, the newest of it", () => {
  const { board, session, time } = boardOfOne();
  const told: bigint[] = [];
  let seen = board.version;
  for (let i = 1; i <= 100; i++) {
    time.ms += 100;
    session.figures = { ...noFigures, bufferedBytes: BigInt(i) };
    board.measure(session);
    board.beat();
    for (const { link } of read(board, seen)) told.push(link?.bufferedBytes ?? 0n);
    seen = board.version;
  }
  expect(told).toEqual([10n, 20n, 30n, 40n, 50n, 60n, 70n, 80n, 90n, 100n]);
});

test("signs of life and measurements that are the same again are no news", () => {
  const { board, session, time } = boardOfOne();
  const seen = board.version;
  for (let i = 0; i < 10; i++) {
    time.ms += 1_000;
    board.heard("w1", time.ms * 1000);
    board.measure(session);
    board.beat();
  }
  expect(board.version).toBe(seen);
});

test("a change of the link is news at once, with the last sign of life", () => {
  const { board, time } = boardOfOne();
  time.ms += 100;
  board.heard("w1", 100_000);
  const seen = board.version;
  time.ms += 100;
  board.unheard("w1", "silent");
  expect(read(board, seen)).toMatchObject([
    { workerId: "w1", link: { state: WorkerLinkState.SILENT, heardAtUs: 100_000n } },
  ]);
  board.heard("w1", 300_000);
  expect(read(board, seen)).toMatchObject([{ link: { state: WorkerLinkState.CONNECTED, heardAtUs: 300_000n } }]);
});

test("is encoded once, however many read it, and not at all when the name is forgotten", () => {
  const { board } = boardOfOne();
  expect(board.changedSince(0)[0]).toBe(board.changedSince(0)[0]);
  board.forget("w1");
  expect(board.changedSince(0)).toEqual([]);
  expect(board.list()).toEqual([]);
});

test("what a worker says of its link is told, cut to what fits into a line", () => {
  const { board, session, time } = boardOfOne();
  const figures = { reconnects: 3, spoolBytes: 5n, spoolLimitBytes: 7n, bufferedBytes: 6n, address: "server:9090" };
  const lastBreak = `no word\u001b[2J\r\n\u2028${"x".repeat(1000)}\ud800`;
  session.figures = figuresOf(create(WorkerHeartbeatSchema, { ...figures, lastBreak }));
  board.measure(session);
  const seen = board.version;
  time.ms += 2_000;
  board.beat();
  const [link] = read(board, seen).map((vitals) => vitals.link);
  expect(link).toMatchObject(figures);
  expect(link?.lastBreak).toMatch(/^no word \[2J x+$/);
  expect(link?.lastBreak.length).toBeLessThanOrEqual(200);
});
