import { Code, ConnectError } from "@connectrpc/connect";
import { EndOutcome, JobState, Level, RunMode, type JobRecord } from "@signalbox/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StartSchema } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TestRoom } from "../testing/open-test-room.ts";
import { TestConsole } from "../testing/test-console.ts";
import type { TestWorker } from "../testing/test-worker.ts";

// Each opens a store, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let room: TestRoom;
const consoles: TestConsole[] = [];
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(async () => {
  for (const each of consoles.splice(0)) await each.kill();
  await room[Symbol.asyncDispose]();
});

const types = [{ name: "count", levers: ["run", "speed", "log_level"], takesInput: true }];

function open(start?: MessageInitShape<typeof StartSchema>, id = ""): TestConsole {
  const opened = new TestConsole(room.domain.run, start, id);
  consoles.push(opened);
  return opened;
}

const codeOf = ({ failure }: TestConsole) => ConnectError.from(failure).code;
const runMode = ({ spec }: JobRecord) => {
  const run = spec?.levers.find(({ value }) => value?.value.case === "run")?.value?.value;
  return run?.case === "run" ? run.value.mode : undefined;
};

/** Ends the attempt of a job, as its worker would. */
async function finish(worker: TestWorker, jobId: string, endLine: bigint, outcome: EndOutcome = EndOutcome.SUCCEEDED) {
  const { attempts } = await room.get(jobId);
  const attempt = attempts.at(-1)?.number ?? 0;
  const spec = await worker.heard("spec", (each) => each.jobId === jobId && each.attempt === attempt);
  worker.report(spec, { end: { outcome, endLine, atUs: 1n } });
  await worker.heard("endAccepted", (end) => end.jobId === jobId && end.attempt === attempt);
}

describe("a console", () => {
  test("starts a job and hears its state, progress and lines as they come, and last that it is done", async () => {
    const worker = await room.connect({ types });
    const console = open({ type: "count", name: "nightly" });
    const first = await console.heard("state");
    expect([first.name, first.state, console.received[0]?.case]).toEqual(["nightly", JobState.QUEUED, "state"]);
    const spec = await worker.heard("spec", ({ jobId }) => jobId === first.id);
    worker.report(spec);
    await console.heard("state", ({ state }) => state === JobState.RUNNING);
    const push = worker.push(first.id, 1);
    push.lines(["one", "two"]);
    await console.heard("log", ({ nextLine }) => nextLine === 3n);
    push.lines(["three"]);
    await console.heard("log", ({ nextLine }) => nextLine === 4n);
    await console.heard("progress", ({ lines }) => lines === 3n);
    await finish(worker, first.id, 4n);
    const done = await console.heard("done");
    await console.end();
    expect(console.failure).toBeUndefined();
    expect([done.job?.state, done.endLine, done.progress?.lines]).toEqual([JobState.SUCCEEDED, 4n, 3n]);
    expect(console.received.at(-1)?.case).toBe("done");
    expect([...console.lines().values()]).toEqual(["one", "two", "three"]);
    expect(console.all("state").map(({ entryPosition }) => entryPosition)).toEqual(
      console
        .all("state")
        .map(({ entryPosition }) => entryPosition)
        .sort((a, b) => Number(a - b)),
    );
  });

  test("gives every kind of command at any time, and hears of each whether it is accepted, under its own id", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const console = open({ jobId });
    console.say({ case: "pause", value: { reason: "lunch" } }, "p");
    const { generation } = await console.heard("accepted", ({ id }) => id === "p");
    const { receipts } = await console.heard("state", (job) => runMode(job) === RunMode.PAUSE);
    expect(receipts.find((each) => each.generation === generation)).toMatchObject({ requestId: "p" });
    console.say({ case: "resume", value: {} }, "r");
    console.say({ case: "setSpeed", value: { itemsPerSecond: 5 } }, "s");
    console.say({ case: "setLogLevel", value: { level: { level: Level.DEBUG }, holdMs: 60_000n } }, "l");
    console.say({ case: "setPriority", value: { priority: 5 } }, "prio");
    console.say({ case: "setParameters", value: { parameters: {} } }, "param");
    console.say({ case: "setSpeed", value: { itemsPerSecond: 0 } }, "zero");
    console.say({ case: "start", value: { type: "count" } }, "again");
    console.say({ case: "setRate", value: { eventsPerSecond: -1 } }, "rate");
    console.say({ case: "cancel", value: { graceMs: 7, reason: "enough" } }, "c");
    await console.heard("accepted", ({ id }) => id === "c");
    expect(console.all("accepted").map(({ id }) => id)).toEqual(["p", "r", "s", "l", "c"]);
    expect(console.all("refused").map(({ id, code }) => [id, code])).toEqual([
      ["prio", Code.FailedPrecondition],
      ["param", Code.FailedPrecondition],
      ["zero", Code.InvalidArgument],
      ["again", Code.FailedPrecondition],
      ["rate", Code.InvalidArgument],
    ]);
    const { spec } = await room.get(jobId);
    expect(spec?.levers.find(({ value }) => value?.value.case === "logLevel")?.hold?.durationMs).toBe(60_000n);
    expect(spec?.levers.find(({ value }) => value?.value.case === "run")?.value?.value).toMatchObject({
      value: { mode: RunMode.CANCEL, graceMs: 7, reason: "enough" },
    });
  });

  test("that repeats a command, also in another conversation, has one effect; with another body it is refused", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const first = open({ jobId });
    first.say({ case: "setSpeed", value: { itemsPerSecond: 5 } }, "same");
    first.say({ case: "setSpeed", value: { itemsPerSecond: 5 } }, "same");
    await expect.poll(() => first.all("accepted").length).toBe(2);
    await first.kill();
    const second = open({ jobId });
    second.say({ case: "setSpeed", value: { itemsPerSecond: 5 } }, "same");
    const { generation } = await second.heard("accepted");
    second.say({ case: "setSpeed", value: { itemsPerSecond: 6 } }, "same");
    expect((await second.heard("refused")).code).toBe(Code.AlreadyExists);
    expect(first.all("accepted").map((each) => each.generation)).toEqual([generation, generation]);
    expect((await room.get(jobId)).spec?.generation).toBe(generation);
  });

  test("that starts with the same id twice follows one job", async () => {
    await room.connect({ types });
    const a = await open({ type: "count" }, "mine").heard("state");
    const b = await open({ type: "count", withoutLog: true }, "mine").heard("state");
    expect(b.id).toBe(a.id);
  });

  test("hears of a job that has ended its state, its log and that it is done", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const push = worker.push(jobId, 1);
    push.lines(["one", "two", "three"]);
    await push.acknowledged(4);
    await finish(worker, jobId, 4n);
    const console = open({ jobId, fromLine: 2n });
    await console.heard("done");
    await console.end();
    expect([...console.lines()]).toEqual([
      [2, "two"],
      [3, "three"],
    ]);
    console.say({ case: "pause", value: {} }, "late");
    const last = open({ jobId, lastLines: 1 });
    await last.heard("done");
    expect([...last.lines()]).toEqual([[3, "three"]]);
    const none = open({ jobId });
    await none.heard("done");
    expect(none.all("log")).toMatchObject([{ attempt: 1, entries: [], firstLine: 4n, nextLine: 4n, skippedLines: 0n }]);
  });

  test("goes on with the next attempt from its first line, and does so from an attempt that it names", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const console = open({ jobId });
    await console.heard("state");
    const push = worker.push(jobId, 1);
    push.lines(["one", "two"]);
    await console.heard("log", ({ nextLine }) => nextLine === 3n);
    // A worker that leaves releases its attempts: the job queues again.
    await finish(worker, jobId, 3n, EndOutcome.RELEASED);
    const spec = await worker.heard("spec", (each) => each.jobId === jobId && each.attempt === 2);
    worker.report(spec);
    const again = worker.push(jobId, 2);
    again.lines(["eins"]);
    await console.heard("log", ({ attempt, nextLine }) => attempt === 2 && nextLine === 2n);
    expect([[...console.lines(1)], [...console.lines(2)]]).toEqual([
      [
        [1, "one"],
        [2, "two"],
      ],
      [[1, "eins"]],
    ]);
    const later = open({ jobId, attempt: 1, fromLine: 2n });
    await later.heard("log", ({ attempt }) => attempt === 2);
    expect([[...later.lines(1)], [...later.lines(2)]]).toEqual([[[2, "two"]], [[1, "eins"]]]);
  });

  test.each<[string, (each: TestConsole) => void, Code]>([
    ["does not begin with start", (each: TestConsole) => each.say({ case: "pause", value: {} }), Code.InvalidArgument],
    [
      "starts an unknown type",
      (each: TestConsole) => each.say({ case: "start", value: { type: "no" } }),
      Code.InvalidArgument,
    ],
    [
      "joins an unknown job",
      (each: TestConsole) => each.say({ case: "start", value: { jobId: "j-no" } }),
      Code.NotFound,
    ],
    [
      "asks for no events at all",
      (each: TestConsole) => each.say({ case: "start", value: { type: "count", rate: { eventsPerSecond: 0 } } }),
      Code.InvalidArgument,
    ],
  ])("that %s is ended, and starts nothing", async (_, say, code) => {
    await room.connect({ types });
    const console = open();
    say(console);
    await console.end();
    expect(codeOf(console)).toBe(code);
    expect(room.domain.domain.jobs.size).toBe(0);
  });
});

describe("closing a console", () => {
  const cancelIsAsked = async (jobId: string) => runMode(await room.get(jobId)) === RunMode.CANCEL;

  test.each(["close", "kill"] as const)("by %s leaves the job alone, unless it asked for a cancel", async (how) => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const watching = open({ jobId });
    await watching.heard("state");
    await watching[how]();
    if (how === "close") expect(watching.failure).toBeUndefined();
    expect(await cancelIsAsked(jobId)).toBe(false);
    const owning = open({ jobId, cancelOnClose: true });
    await owning.heard("state");
    await owning[how]();
    await expect.poll(() => cancelIsAsked(jobId)).toBe(true);
    const { receipts } = await room.get(jobId);
    expect(receipts.at(-1)).toMatchObject({
      actor: { name: "operator" },
      value: { value: { value: { graceMs: 10_000 } } },
    });
  });

  test("does not cancel the job when it is the server that stops", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const console = open({ jobId, cancelOnClose: true });
    await console.heard("state");
    room.domain.domain.beginDrain();
    await console.kill();
    room.domain = await room.domain.reopen();
    expect(await cancelIsAsked(jobId)).toBe(false);
  });

  test("after its job has ended changes nothing", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const console = open({ jobId, cancelOnClose: true });
    await console.heard("state");
    await finish(worker, jobId, 1n);
    await console.heard("done");
    await console.kill();
    expect((await room.get(jobId)).state).toBe(JobState.SUCCEEDED);
  });
});

describe("a console's input", () => {
  test("is stored in order, with where it ends and what the job has taken; a wrong offset hears the right one", async () => {
    const worker = await room.connect({ types });
    const { jobId, attempt } = await room.startRunning(worker);
    const console = open({ jobId });
    console.say({ case: "input", value: { data: Buffer.from("hello ") } }, "a");
    console.say({ case: "input", value: { data: Buffer.from("world"), offset: 6n } });
    expect(await console.heard("input", ({ nextOffset }) => nextOffset === 11n)).toMatchObject({
      attempt: 1,
      taken: 0n,
    });
    expect(console.all("accepted").map(({ id }) => id)).toEqual(["a"]);
    worker.say({ case: "inputTaken", value: { $typeName: "signalbox.v1.InputTaken", jobId, attempt, offset: 11n } });
    await console.heard("input", ({ taken }) => taken === 11n);

    console.say({ case: "input", value: { data: Buffer.from("!"), offset: 90n } }, "far");
    expect(await console.heard("refused", ({ id }) => id === "far")).toMatchObject({
      code: Code.Aborted,
      nextOffset: 11n,
    });
    // What followed blindly would leave a hole.
    console.say({ case: "input", value: { data: Buffer.from("?") } }, "blind");
    expect(await console.heard("refused", ({ id }) => id === "blind")).toMatchObject({ nextOffset: 11n });
    console.say({ case: "input", value: { data: Buffer.from("!"), offset: 11n, eof: true } }, "right");
    expect(await console.heard("input", ({ closed }) => closed)).toMatchObject({ nextOffset: 12n });
  });

  test("that the job leaves lying is not read on, and commands still get through", async () => {
    const worker = await room.connect({ types });
    const { jobId, attempt } = await room.startRunning(worker);
    const console = open({ jobId });
    await console.heard("state");
    const piece = Buffer.alloc(64 * 1024, "x");
    for (let i = 0; i < 24; i++) console.say({ case: "input", value: { data: piece } });
    console.say({ case: "pause", value: {} }, "p");
    // 16 pieces fit, the rest waits; the pause does not.
    await console.heard("accepted", ({ id }) => id === "p");
    await console.heard("input", ({ nextOffset }) => nextOffset === 1024n * 1024n);
    const takenBy = (offset: bigint) =>
      worker.say({ case: "inputTaken", value: { $typeName: "signalbox.v1.InputTaken", jobId, attempt, offset } });
    takenBy(1024n * 1024n);
    await console.heard("input", ({ nextOffset }) => nextOffset === 24n * 64n * 1024n);
    expect(console.all("refused")).toEqual([]);
  });
});

describe("the rate of a console", () => {
  /** Lines that a worker prints until it is stopped, some every few milliseconds. */
  async function flood(worker: TestWorker, jobId: string, lines: number, each = 50) {
    const push = worker.push(jobId, 1);
    for (let from = 1; from <= lines; from += each) {
      push.lines(Array.from({ length: Math.min(each, lines + 1 - from) }, (_, i) => `line ${from + i}`));
      await push.acknowledged(Math.min(from + each, lines + 1));
    }
  }

  test("is kept: lines that do not fit are left out by number, and states and answers come in any case", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const console = open({ jobId, rate: { eventsPerSecond: 20 } });
    await console.heard("state");
    const from = performance.now();
    await flood(worker, jobId, 2_000);
    console.say({ case: "pause", value: {} }, "p");
    await console.heard("accepted");
    await finish(worker, jobId, 2_001n);
    const done = await console.heard("done");
    await console.end();
    const seconds = (performance.now() - from) / 1000;
    const lines = console.lines();
    const skipped = console.all("log").reduce((sum, { skippedLines }) => sum + Number(skippedLines), 0);
    expect(lines.size + skipped).toBe(2_000);
    expect(console.all("log").at(-1)?.nextLine).toBe(done.endLine);
    for (const [number, text] of lines) expect(text).toBe(`line ${number}`);
    expect(lines.size + console.all("progress").length).toBeLessThanOrEqual(2 + 20 * seconds);
    expect(lines.size).toBeGreaterThan(0);
  });

  test("may be changed at any time, and without one every line comes", async () => {
    const worker = await room.connect({ types });
    const { jobId } = await room.startRunning(worker);
    const console = open({ jobId, rate: { eventsPerSecond: 0.01 } });
    await console.heard("state");
    console.say({ case: "setRate", value: {} }, "all");
    await console.heard("accepted");
    await flood(worker, jobId, 500);
    await console.heard("log", ({ nextLine }) => nextLine === 501n);
    expect([...console.lines().keys()]).toEqual(Array.from({ length: 500 }, (_, i) => i + 1));
    console.say({ case: "setRate", value: { eventsPerSecond: 0.01 } }, "slow");
    await console.heard("accepted", ({ id }) => id === "slow");
    await finish(worker, jobId, 501n);
    await console.heard("done");
  });
});
