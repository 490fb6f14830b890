import { create } from "@bufbuild/protobuf";
import {
  ChunkBuilder,
  PushLogsOpenSchema,
  PushLogsRequestSchema,
  type PushLogsOpen,
  type PushLogsRequest,
} from "@signalbox/protocol";
import { expect, test } from "vitest";
import { Logs } from "../logs/logs.ts";
import { Conflict, type Journal } from "../store/store.ts";
import { journalOpenedBy } from "../testing/journal-opened-by.ts";
import { TestRoom } from "../testing/open-test-room.ts";
import { fullCreditBytes, IngestBudget } from "../workers/ingest-budget.ts";
import { LogIngest } from "../workers/log-ingest.ts";
import { pushLogs } from "./push-logs.ts";

/** A journal whose appends settle when the test says so. */
function heldJournal(journal: Journal) {
  const held: { fail(error: Error): void; store(): void }[] = [];
  let opened = 0;
  const open: Journal["open"] = async (topic, expectedLast) => {
    opened++;
    const writer = await journal.open(topic, expectedLast);
    return {
      topic,
      opened: writer.opened,
      append: (data, mark) =>
        new Promise((resolve, reject) =>
          held.push({ fail: reject, store: () => void writer.append(data, mark).then(resolve, reject) }),
        ),
    };
  };
  return { open, held, opened: () => opened };
}

function chunk(firstLine: number, bytes: number): PushLogsRequest {
  const builder = new ChunkBuilder();
  builder.add(Buffer.concat([Buffer.alloc(bytes - 1, "x"), Buffer.from("\n")]), { timeUs: 1 });
  return create(PushLogsRequestSchema, { message: { case: "chunk", value: builder.build(firstLine) } });
}

/** A whole call: what says whose lines they are, then the lines. */
async function* opened(open: PushLogsOpen, requests: AsyncIterable<PushLogsRequest>) {
  yield create(PushLogsRequestSchema, { message: { case: "open", value: open } });
  yield* requests;
}

async function running(room: TestRoom) {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const [session] = room.domain.domain.workers.sessions;
  if (!session) throw new Error("no session");
  const { journal } = room.domain.store;
  const held = heldJournal(journal);
  const logs = new Logs(journalOpenedBy(journal, held.open));
  const budget = new IngestBudget();
  const ingest = new LogIngest(room.domain.domain.jobs, logs, budget);
  const open = create(PushLogsOpenSchema, { jobId, attempt: 1, incarnation: session.incarnation });
  const push = (requests: AsyncIterable<PushLogsRequest>, signal: AbortSignal) =>
    pushLogs({ ingest, sessionOf: () => session }, opened(open, requests), signal);
  return { push, budget, open, held };
}

test("a stream that sends without regard to its credit is not read on, and everything is given back when it ends", async () => {
  await using room = await TestRoom.open();
  const { push, budget, held } = await running(room);
  let sent = 0;
  async function* flood() {
    for (;;) yield chunk(++sent, 60_000);
  }
  const stop = new AbortController();
  const acks = push(flood(), stop.signal);
  await acks.next();
  await expect.poll(() => budget.usedBytes).toBeGreaterThan(fullCreditBytes);
  expect(budget.usedBytes).toBeLessThan(fullCreditBytes + 100_000);
  stop.abort();
  // The reader is gone; what was under way fails after that.
  void acks.return(undefined);
  for (const each of held.held) each.fail(new Conflict("another writer"));
  await expect.poll(() => budget.usedBytes).toBe(0);
});

test("no line is acknowledged before it is on disk, however many are under way", async () => {
  await using room = await TestRoom.open();
  const { push, open, held } = await running(room);
  const stop = new AbortController();
  async function* three() {
    for (const line of [1, 2, 3]) yield chunk(line, 10);
    await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
  }
  const acks = push(three(), stop.signal);
  expect((await acks.next()).value).toMatchObject({ nextLine: 1n });
  for (const line of [1, 2, 3]) {
    const ack = acks.next();
    await expect.poll(() => held.held.length).toBe(3);
    held.held[line - 1]?.store();
    expect((await ack).value).toMatchObject({ nextLine: BigInt(line + 1) });
    expect(await room.domain.store.journal.last(`log/${open.jobId}/1`)).toMatchObject({ mark: line + 1 });
  }
  stop.abort();
  void acks.return(undefined);
});

test("of two streams of one attempt that fail together, the later failure does not close the door that was opened since", async () => {
  await using room = await TestRoom.open();
  const { push, held } = await running(room);
  const stop = new AbortController();
  async function* one(line: number) {
    yield chunk(line, 10);
    await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
  }
  const pushLine = (line: number) => push(one(line), stop.signal);
  const first = pushLine(1);
  const second = pushLine(2);
  await first.next();
  await second.next();
  const failures = [first.next(), second.next()].map((next) => next.catch((error: unknown) => error));
  await expect.poll(() => held.held.length).toBe(2);
  held.held[0]?.fail(new Conflict("another writer"));
  expect(await failures[0]).toMatchObject({ kind: "unavailable" });
  const third = pushLine(1);
  await third.next();
  held.held[1]?.fail(new Conflict("another writer"));
  expect(await failures[1]).toMatchObject({ kind: "unavailable" });
  const fourth = pushLine(1);
  await fourth.next();
  expect(held.opened()).toBe(2);
  stop.abort();
  for (const stream of [third, fourth]) void stream.return(undefined);
});

test("gaps without number are not taken without bound", async () => {
  await using room = await TestRoom.open();
  const { push, budget, held } = await running(room);
  async function* flood() {
    for (let firstLine = 1n; ; firstLine++)
      yield create(PushLogsRequestSchema, {
        message: { case: "gap", value: { firstLine, lineCount: 1n, detail: "x".repeat(10_000) } },
      });
  }
  const stop = new AbortController();
  const acks = push(flood(), stop.signal);
  await acks.next();
  await expect.poll(() => budget.usedBytes).toBeGreaterThanOrEqual(fullCreditBytes);
  expect(held.held.length).toBeLessThan(3_000);
  stop.abort();
  void acks.return(undefined);
  for (const each of held.held) each.fail(new Conflict("another writer"));
  await expect.poll(() => budget.usedBytes).toBe(0);
});
