import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  EndOutcome,
  InputRefusalSchema,
  InputTakenSchema,
  SendInputRequestSchema,
  type AttemptSpec,
  type Vitals,
} from "@signalbox/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inputReceived } from "../testing/input-received.ts";
import { failure, TestRoom } from "../testing/open-test-room.ts";
import type { TestWorker } from "../testing/test-worker.ts";
import { serverActor } from "./dispatch.ts";
import { Inputs } from "./inputs.ts";

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const types = [{ name: "count", levers: ["run"], takesInput: true }];

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

/** A running job whose type takes input, and its worker. */
async function running(): Promise<{ worker: TestWorker; spec: AttemptSpec; id: string }> {
  const worker = await room.connect({ types });
  const spec = await room.startRunning(worker);
  return { worker, spec, id: spec.jobId };
}

function send(
  jobId: string,
  data: string | Uint8Array,
  more: { offset?: number; eof?: boolean; attempt?: number } = {},
) {
  const { offset, ...rest } = more;
  return room.domain.jobs.sendInput({
    jobId,
    data: Buffer.from(data),
    ...rest,
    ...(offset === undefined ? {} : { offset: BigInt(offset) }),
  });
}

/** Sends a text in pieces of 64 KiB, each at the end. */
async function sendAll(jobId: string, text: string): Promise<void> {
  for (let at = 0; at < text.length; at += 64 * kibibyte) await send(jobId, text.slice(at, at + 64 * kibibyte));
}

function take(worker: TestWorker, { jobId, attempt }: AttemptSpec, offset: number): void {
  worker.say({ case: "inputTaken", value: create(InputTakenSchema, { jobId, attempt, offset: BigInt(offset) }) });
}

async function vitals(jobId: string): Promise<Pick<Vitals, "inputEnd" | "inputTaken" | "inputClosed">> {
  const { vitals } = await room.domain.jobs.getJob({ jobId });
  const { inputEnd = -1n, inputTaken = -1n, inputClosed = false } = vitals ?? {};
  return { inputEnd, inputTaken, inputClosed };
}

const wait = { timeout: 10_000 };
const gets = (worker: TestWorker, jobId: string, from?: number) =>
  expect.poll(() => inputReceived(worker, jobId, from), wait);

/** Letters that do not repeat with any power of two. */
const letters = (length: number, seed = 0) =>
  Buffer.from(Uint8Array.from({ length }, (_, at) => 97 + ((at * 7 + seed + (at >> 9)) % 26))).toString("latin1");

/** Ends the attempt the way a worker does, and waits until that is stored. */
async function endAttempt(
  worker: TestWorker,
  spec: AttemptSpec,
  outcome: EndOutcome = EndOutcome.SUCCEEDED,
): Promise<void> {
  worker.report(spec, { end: { outcome, endLine: 1n, atUs: 1n } });
  await worker.heard("endAccepted", ({ jobId, attempt }) => jobId === spec.jobId && attempt === spec.attempt);
}

async function refusalOf(call: Promise<unknown>): Promise<[Code, number | undefined]> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("the call succeeded"),
      (reason: unknown) => reason,
    ),
  );
  const [detail] = error.findDetails(InputRefusalSchema);
  return [error.code, detail && Number(detail.nextOffset)];
}

test("what is sent reaches the job in order, once its worker has said what the job has taken", async () => {
  const { worker, spec, id } = await running();
  expect(await send(id, "yes\n")).toMatchObject({ attempt: 1, nextOffset: 4n });
  await send(id, "and ");
  take(worker, spec, 0);
  await gets(worker, id).toEqual({ text: "yes\nand ", eof: false });
  await send(id, "no\n");
  await gets(worker, id).toEqual({ text: "yes\nand no\n", eof: false });
  expect(await vitals(id)).toEqual({ inputEnd: 11n, inputTaken: 0n, inputClosed: false });
  take(worker, spec, 8);
  await expect.poll(() => vitals(id)).toEqual({ inputEnd: 11n, inputTaken: 8n, inputClosed: false });
});

test("a worker that never says what was taken gets no input", async () => {
  const { worker, id } = await running();
  const other = await room.startRunning(worker);
  await send(id, "for nobody");
  take(worker, other, 0);
  await send(other.jobId, "for somebody");
  await gets(worker, other.jobId).toEqual({ text: "for somebody", eof: false });
  expect(inputReceived(worker, id).text).toBe("");
});

test("nobody gets the input of another worker's job by asking for it", async () => {
  const { worker, spec, id } = await running();
  const thief = await room.connect({ types: [{ name: "theirs", takesInput: true }], workerId: "thief" });
  const own = await room.start({}, "theirs");
  const ownSpec = await thief.heard("spec", ({ jobId }) => jobId === own.id);
  thief.report(ownSpec);
  await send(id, "secret");
  take(thief, spec, 0);
  take(thief, ownSpec, 0);
  await expect.poll(() => failure(send(own.id, "own")).then(([code]) => code)).not.toBe(Code.FailedPrecondition);
  await expect.poll(() => inputReceived(thief, own.id).text, wait).toContain("own");
  take(worker, spec, 0);
  await gets(worker, id).toEqual({ text: "secret", eof: false });
  expect(inputReceived(thief, id).text).toBe("");
});

test("a request with its offset may be repeated, in other pieces too, and is stored once", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  for (const [offset, data, end] of [
    [0, "hello ", 6n],
    [0, "hello ", 6n],
    [3, "lo world", 11n],
    [0, "hello world", 11n],
    [4, "o w", 11n],
    [11, "!", 12n],
  ] as const)
    expect((await send(id, data, { offset })).nextOffset).toBe(end);
  await gets(worker, id).toEqual({ text: "hello world!", eof: false });
});

test("a request that leaves a hole, or says something else than what is stored, is refused with the end of the input", async () => {
  const { id } = await running();
  await send(id, "hello");
  expect(await refusalOf(send(id, "x", { offset: 6 }))).toEqual([Code.Aborted, 5]);
  expect(await refusalOf(send(id, "jello!", { offset: 0 }))).toEqual([Code.Aborted, 5]);
  expect(await refusalOf(send(id, "", { offset: 3, eof: true }))).toEqual([Code.Aborted, 5]);
  expect((await send(id, "")).nextOffset).toBe(5n);
});

test("of two who send different things at the same offset one is stored and the other refused", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  let text = "";
  for (let round = 0; round < 10; round++) {
    const [a, b] = [`a${round}`, `b${round}`];
    const outcomes = await Promise.all(
      [a, b].map((data) =>
        send(id, data, { offset: text.length }).then(
          () => data,
          (error: unknown) => ConnectError.from(error).code,
        ),
      ),
    );
    expect(outcomes).toContain(Code.Aborted);
    text += outcomes.find((outcome) => typeof outcome === "string");
  }
  await gets(worker, id).toEqual({ text, eof: false });
});

test("two who send the same stream with offsets, each in pieces of its own, store it once", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  const text = letters(100_000);
  const sendIn = async (pieceBytes: number) => {
    for (let offset = 0; offset < text.length; offset += pieceBytes) {
      const data = text.slice(offset, offset + pieceBytes);
      await send(id, data, { offset, eof: offset + pieceBytes >= text.length });
    }
  };
  await Promise.all([sendIn(7_000), sendIn(4_321)]);
  await gets(worker, id).toEqual({ text, eof: true });
});

test("senders without an offset follow one another, whoever they are", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  await Promise.all(
    ["a", "b", "c"].map(async (name) => {
      for (let n = 0; n < 10; n++) await send(id, `${name}${n};`);
    }),
  );
  await expect.poll(() => inputReceived(worker, id).text.length, wait).toBe(90);
  const parts = inputReceived(worker, id).text.split(";");
  for (const name of ["a", "b", "c"])
    expect(parts.filter((part) => part.startsWith(name))).toEqual(Array.from({ length: 10 }, (_, n) => `${name}${n}`));
});

test("the end is said with the last bytes or alone, once; after it nothing can be sent", async () => {
  const { worker, spec, id } = await running();
  const other = await room.startRunning(worker);
  for (const each of [spec, other]) take(worker, each, 0);
  await send(id, "last", { eof: true });
  await send(other.jobId, "last");
  await gets(worker, other.jobId).toEqual({ text: "last", eof: false });
  await send(other.jobId, "", { eof: true });
  for (const { jobId } of [spec, other]) {
    await gets(worker, jobId).toEqual({ text: "last", eof: true });
    expect(await vitals(jobId)).toEqual({ inputEnd: 4n, inputTaken: 0n, inputClosed: true });
    expect(await failure(send(jobId, "more"))).toEqual([Code.FailedPrecondition, expect.stringContaining("was ended")]);
    expect(await failure(send(jobId, "st more", { offset: 2 }))).toEqual([
      Code.FailedPrecondition,
      expect.stringContaining("was ended"),
    ]);
    expect((await send(jobId, "last", { offset: 0, eof: true })).nextOffset).toBe(4n);
    expect((await send(jobId, "as", { offset: 1 })).nextOffset).toBe(4n);
  }
  expect(inputReceived(worker, id)).toEqual({ text: "last", eof: true });
});

test("a job that takes slowly is never sent more than 256 KiB ahead, in pieces of at most 64 KiB", async () => {
  const { worker, spec, id } = await running();
  const text = letters(mebibyte);
  await sendAll(id, text);
  let taken = 0;
  take(worker, spec, 0);
  while (taken < text.length) {
    const ahead = Math.min(taken + 256 * kibibyte, text.length);
    await expect.poll(() => inputReceived(worker, id).text.length, wait).toBe(ahead);
    taken = Math.min(taken + 200_001, text.length);
    take(worker, spec, taken);
  }
  expect(inputReceived(worker, id)).toEqual({ text, eof: false });
  for (const { message } of worker.received)
    if (message.case === "input") expect(message.value.data.length).toBeLessThanOrEqual(64 * kibibyte);
});

test("many small pieces are delivered together", async () => {
  const { worker, spec, id } = await running();
  for (let n = 0; n < 50; n++) await send(id, `${n};`);
  take(worker, spec, 0);
  await expect.poll(() => inputReceived(worker, id).text.split(";").length, wait).toBe(51);
  expect(worker.received.filter(({ message }) => message.case === "input")).toHaveLength(1);
});

test("who sends more than the job takes waits, and goes on when it takes some", async () => {
  const { worker, spec, id } = await running();
  const text = letters(mebibyte);
  await sendAll(id, text);
  let stored = false;
  const waiting = send(id, "one more").then(() => (stored = true));
  // What needs no room is answered meanwhile.
  expect((await send(id, text.slice(0, 100), { offset: 0 })).nextOffset).toBe(BigInt(mebibyte));
  expect(stored).toBe(false);
  take(worker, spec, 8);
  await waiting;
  expect(await vitals(id)).toMatchObject({ inputEnd: BigInt(mebibyte + 8), inputTaken: 8n });
});

test("who waits for room may give up; of those who wait there is a bound", async () => {
  const { worker, spec, id } = await running();
  await sendAll(id, letters(mebibyte));
  const abort = new AbortController();
  const first = room.domain.jobs.sendInput({ jobId: id, data: Buffer.from("x") }, { signal: abort.signal });
  const others = Array.from({ length: 63 }, (_, n) => send(id, `${n};`));
  await expect
    .poll(() => failure(send(id, "too many")), wait)
    .toEqual([Code.ResourceExhausted, expect.stringContaining("64 requests wait already")]);
  abort.abort();
  expect((await failure(first))[0]).toBe(Code.Canceled);
  const late = send(id, "z");
  take(worker, spec, mebibyte);
  await Promise.all([...others, late]);
  const expected = mebibyte + Array.from({ length: 63 }, (_, n) => `${n};`).join("").length + 1;
  expect((await send(id, "")).nextOffset).toBe(BigInt(expected));
});

test("who waits for room for too long is told how much lies there", async () => {
  const { id } = await running();
  await sendAll(id, letters(mebibyte));
  const { store, domain } = room.domain;
  const { jobs } = domain;
  const impatient = await Inputs.open({
    journal: store.journal,
    jobs,
    logger: pino({ level: "silent" }),
    roomWithinMs: 50,
  });
  const request = create(SendInputRequestSchema, { jobId: id, data: Buffer.from("x") });
  await expect(
    impatient.send(jobs.get(id), true, request, serverActor, AbortSignal.timeout(60_000)),
  ).rejects.toMatchObject({
    kind: "exhausted",
    message: expect.stringContaining("1048576 bytes") as unknown,
  });
});

test("a worker that comes back is delivered what its job has not taken, from wherever it says", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  await send(id, "0123456789", { eof: true });
  await gets(worker, id).toEqual({ text: "0123456789", eof: true });
  take(worker, spec, 7);
  await expect.poll(() => vitals(id)).toMatchObject({ inputTaken: 7n });
  await worker.kill();
  const attempts = [{ jobId: id, attempt: 1, started: true, receivedGeneration: 2n }];
  for (const offset of [7, 4, 10]) {
    const again = await room.connect({ types, incarnation: worker.incarnation, attempts });
    take(again, spec, offset);
    await gets(again, id, offset).toEqual({ text: "0123456789".slice(offset), eof: true });
    expect(await vitals(id)).toMatchObject({ inputTaken: BigInt(offset) });
    await again.kill();
  }
});

test("on one stream what was taken does not go back", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  await send(id, "0123456789");
  await gets(worker, id).toMatchObject({ text: "0123456789" });
  take(worker, spec, 9);
  take(worker, spec, 3);
  await send(id, "abc");
  await gets(worker, id).toMatchObject({ text: "0123456789abc" });
  expect(await vitals(id)).toMatchObject({ inputTaken: 9n });
});

test("a word of more than there is counts as all there is", async () => {
  const { worker, spec, id } = await running();
  await send(id, "abc");
  take(worker, spec, 1_000_000);
  await expect.poll(() => vitals(id)).toMatchObject({ inputEnd: 3n, inputTaken: 3n });
  await send(id, "def");
  await gets(worker, id, 3).toMatchObject({ text: "def" });
});

test("a restart of the server loses nothing that was sent, and sends nothing twice", async () => {
  const { worker, spec, id } = await running();
  const text = letters(300_000);
  await sendAll(id, text);
  take(worker, spec, 0);
  await expect.poll(() => inputReceived(worker, id).text.length, wait).toBe(256 * kibibyte);
  take(worker, spec, 1_000);
  await expect.poll(() => vitals(id)).toMatchObject({ inputTaken: 1_000n });
  // An entry of the job keeps the vitals of its moment.
  worker.report(spec, { checkpoint: Buffer.from("1000") });
  await expect.poll(async () => (await room.get(id)).attempts[0]?.checkpoint.length).toBe(4);
  await worker.kill();
  room.domain = await room.domain.reopen();

  expect(await vitals(id)).toEqual({ inputEnd: 300_000n, inputTaken: 1_000n, inputClosed: false });
  const more = "more";
  expect((await send(id, text.slice(-10) + more, { offset: text.length - 10, eof: true })).nextOffset).toBe(300_004n);
  const attempts = [{ jobId: id, attempt: 1, started: true, receivedGeneration: 2n }];
  const again = await room.connect({ types, incarnation: worker.incarnation, attempts });
  take(again, spec, 200_000);
  await gets(again, id, 200_000).toEqual({ text: (text + more).slice(200_000), eof: true });
});

test("when the attempt ends, its input is gone, who waits is refused, and the next attempt begins with none", async () => {
  const { worker, spec, id } = await running();
  const secret = letters(mebibyte, 5);
  await sendAll(id, secret);
  const waiting = failure(send(id, "x"));
  await endAttempt(worker, spec, EndOutcome.FAILED);
  expect(await waiting).toEqual([Code.FailedPrecondition, expect.stringContaining("is over")]);
  expect(await failure(send(id, "x"))).toEqual([Code.FailedPrecondition, expect.stringContaining("is over")]);
  const { journal } = room.domain.store;
  await expect.poll(async () => (await journal.last(`input/${id}/1`))?.sealed).toBe(true);
  await expect.poll(async () => (await journal.read(`input/${id}/1`, 0)).length).toBe(1);

  await room.domain.jobs.retryJob({ jobId: id, requestId: room.nextId() });
  const second = await worker.heard("spec", ({ jobId, attempt }) => jobId === id && attempt === 2);
  worker.report(second);
  await expect.poll(async () => (await room.get(id)).attempts.at(-1)?.startedAtUs).not.toBe(0n);
  expect(await failure(send(id, "x", { attempt: 1 }))).toEqual([
    Code.FailedPrecondition,
    expect.stringContaining("Attempt 1 of job"),
  ]);
  expect(await send(id, "new")).toMatchObject({ attempt: 2, nextOffset: 3n });
  take(worker, second, 0);
  await worker.heard("input", ({ attempt }) => attempt === second.attempt);
  expect(await vitals(id)).toEqual({ inputEnd: 3n, inputTaken: 0n, inputClosed: false });
});

test("a job that had no input leaves no topic", async () => {
  const { worker, spec, id } = await running();
  take(worker, spec, 0);
  await endAttempt(worker, spec);
  await room.domain.domain.inputs.settle();
  expect(await room.domain.store.journal.last(`input/${id}/1`)).toBeUndefined();
});

test("input that the server had no time to remove is removed when it starts again", async () => {
  const { worker, spec, id } = await running();
  await endAttempt(worker, spec);
  const writer = await room.domain.store.journal.open(`input/${id}/1`);
  await writer.append(Buffer.from("a"), 1);
  await writer.append(Buffer.from("b"), 2);
  await worker.kill();
  room.domain = await room.domain.reopen();
  const entries = await room.domain.store.journal.read(`input/${id}/1`, 0);
  expect(entries.map(({ sealed }) => sealed)).toEqual([true]);
});

test("input is refused where there is nothing that could take it", async () => {
  const worker = await room.connect({ types: [...types, { name: "deaf", levers: ["run"] }] });
  expect((await failure(send("nobody", "x")))[0]).toBe(Code.NotFound);

  const waiting = await room.start();
  expect(await failure(send(waiting.id, "x"))).toEqual([
    Code.FailedPrecondition,
    expect.stringContaining("has not begun"),
  ]);
  const spec = await worker.heard("spec", ({ jobId }) => jobId === waiting.id);
  worker.report(spec);
  await expect.poll(async () => (await room.get(waiting.id)).attempts[0]?.startedAtUs).not.toBe(0n);
  expect(await failure(send(waiting.id, "x", { attempt: 2 }))).toEqual([
    Code.FailedPrecondition,
    expect.stringContaining("has not begun"),
  ]);
  expect((await failure(send(waiting.id, Buffer.alloc(64 * kibibyte + 1))))[0]).toBe(Code.InvalidArgument);
  expect((await send(waiting.id, Buffer.alloc(64 * kibibyte))).nextOffset).toBe(65_536n);

  const deaf = await room.start({}, "deaf");
  const deafSpec = await worker.heard("spec", ({ jobId }) => jobId === deaf.id);
  worker.report(deafSpec);
  await expect.poll(async () => (await room.get(deaf.id)).attempts[0]?.startedAtUs).not.toBe(0n);
  expect(await failure(send(deaf.id, "x"))).toEqual([
    Code.FailedPrecondition,
    expect.stringContaining("take no input"),
  ]);
});
