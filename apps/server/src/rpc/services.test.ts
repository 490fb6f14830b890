import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ChunkBodySchema,
  ChunkLines,
  CommandSchema,
  EndOutcome,
  JobState,
  LogRefusalSchema,
  ReceiptState,
  RunMode,
  type AttemptSpec,
  type JobRecord,
  type LeverValueSchema,
  type WatchResponse,
} from "@signalbox/protocol";
import { toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openTestDomain, type TestDomain } from "../testing/open-test-domain.ts";
import { TestWorker, type TestWorkerOptions } from "../testing/test-worker.ts";

let room: TestDomain;
let requests = 0;
const opened: AsyncDisposable[] = [];

beforeEach(async () => {
  room = await openTestDomain();
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each[Symbol.asyncDispose]();
  await room[Symbol.asyncDispose]();
});

async function connect(options?: TestWorkerOptions): Promise<TestWorker> {
  const worker = new TestWorker(room.workers, options);
  opened.push(worker);
  await worker.heard("welcome");
  return worker;
}

async function start(parameters: JsonObject = {}, requestId = `start-${++requests}`): Promise<JobRecord> {
  const { job } = await room.jobs.startJob({ requestId, type: "count", parameters });
  if (!job) throw new Error("no job");
  return job;
}

async function startRunning(worker: TestWorker): Promise<AttemptSpec> {
  const { id } = await start();
  const spec = await worker.heard("spec", ({ jobId }) => jobId === id);
  worker.report(spec);
  await state(id, JobState.RUNNING);
  return spec;
}

async function get(jobId: string): Promise<JobRecord> {
  const { job } = await room.jobs.getJob({ jobId });
  if (!job) throw new Error("no job");
  return job;
}

async function state(jobId: string, wanted: JobState): Promise<JobRecord> {
  await expect.poll(async () => (await get(jobId)).state).toBe(wanted);
  return get(jobId);
}

function set(
  jobId: string,
  value: NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>,
  more: { requestId?: string; ifGeneration?: bigint } = {},
) {
  return room.jobs.sendCommand({
    requestId: more.requestId ?? `command-${++requests}`,
    jobId,
    command: create(CommandSchema, {
      action: { case: "set", value: { value } },
      ifGeneration: more.ifGeneration ?? 0n,
    }),
  });
}

const pause = { case: "run", value: { mode: RunMode.PAUSE } } as const;
const cancel = { case: "run", value: { mode: RunMode.CANCEL, graceMs: 100, reason: "wrong folder" } } as const;

async function code(call: Promise<unknown>): Promise<[Code, string]> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("the call succeeded"),
      (reason: unknown) => reason,
    ),
  );
  return [error.code, error.rawMessage];
}

/** The lines of an attempt, as text. */
async function text(jobId: string, attempt = 1): Promise<string> {
  let all = "";
  for (let fromLine = 1n; ;) {
    const read = await room.logs.readLogs({ jobId, attempt, fromLine });
    for (const { entry } of read.entries)
      if (entry.case === "chunk") all += Buffer.from(new ChunkLines(entry.value).blob()).toString();
    if (read.nextLine >= read.endLine) return all;
    fromLine = read.nextLine;
  }
}

describe("a job", () => {
  test("goes from the queue to a worker, runs when the worker says so, and its lines are there when they are acknowledged", async () => {
    const worker = await connect();
    const { jobId, attempt } = await startRunning(worker);
    const push = worker.push(jobId, attempt);
    push.lines(["one", "two"]);
    push.lines(["three"]);
    await push.acknowledged(4);
    expect(await text(jobId)).toBe("one\ntwo\nthree\n");
    worker.report(await worker.heard("spec"), { end: { outcome: EndOutcome.SUCCEEDED, endLine: 4n, atUs: 1n } });
    await worker.heard("endAccepted", (end) => end.jobId === jobId);
    expect(await state(jobId, JobState.SUCCEEDED)).toMatchObject({ attempts: [{ number: 1, workerId: "w1" }] });
    expect(await room.logs.readLogs({ jobId, attempt: 1 })).toMatchObject({ sealed: true, endLine: 4n });
    // Whoever asks beyond the end hears where it is.
    expect(await room.logs.readLogs({ jobId, attempt: 1, fromLine: 90n })).toMatchObject({ entries: [], endLine: 4n });
  });

  test("has its lines counted by level over time", async () => {
    const worker = await connect();
    const { jobId, attempt } = await startRunning(worker);
    expect(await room.logs.getHistogram({ jobId })).toMatchObject({ attempt: 1, buckets: [], endLine: 1n });
    const push = worker.push(jobId, attempt);
    push.lines(["INFO one", "ERROR two", "three"]);
    await push.acknowledged(4);
    const { buckets, bucketUs, endLine } = await room.logs.getHistogram({ jobId, attempt, mostBuckets: 5_000 });
    expect({ bucketUs, endLine }).toEqual({ bucketUs: 1_000_000n, endLine: 4n });
    expect(buckets).toMatchObject([{ firstLine: 1n, levelCounts: [1, 0, 0, 1, 0, 1, 0] }]);
    expect(await code(room.logs.getHistogram({ jobId, attempt: 2 }))).toEqual([
      Code.NotFound,
      `Job ${jobId} has no attempt 2.`,
    ]);
  });

  test("whose end comes before its last lines ends when they are there", async () => {
    const worker = await connect();
    const spec = await startRunning(worker);
    const push = worker.push(spec.jobId, 1);
    push.lines(["one"]);
    await push.acknowledged(2);
    worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 4n, atUs: 1n } });
    worker.report(spec, { checkpoint: Uint8Array.of(1) });
    await expect.poll(async () => (await get(spec.jobId)).attempts[0]?.checkpoint.length).toBe(1);
    expect((await get(spec.jobId)).state).toBe(JobState.RUNNING);
    push.lines(["two"]);
    push.lines(["three"]);
    await state(spec.jobId, JobState.SUCCEEDED);
    expect(await text(spec.jobId)).toBe("one\ntwo\nthree\n");
  });

  test("says in the queue why it waits", async () => {
    const worker = await connect({ slots: 1 });
    await startRunning(worker);
    const second = await start();
    const waits = async (id: string) => (await room.jobs.getJob({ jobId: id })).vitals?.waitsFor;
    await expect.poll(() => waits(second.id)).toBe("no free slot for type count (1 of 1 busy) · 1st in line");
    await worker.kill();
    await expect.poll(() => waits(second.id)).toBe("no worker offers type count");
  });

  test("is started once however often the same request comes, at the same time or later", async () => {
    await connect();
    const both = await Promise.all([start({}, "same"), start({}, "same")]);
    const again = await start({}, "same");
    expect(new Set([...both, again].map(({ id }) => id)).size).toBe(1);
    expect((await room.jobs.listJobs({})).jobs).toHaveLength(1);
    expect(await code(room.jobs.startJob({ requestId: "same", type: "count", name: "other" }))).toEqual([
      Code.AlreadyExists,
      expect.stringContaining("another body"),
    ]);
  });

  test("survives a restart of the server, which does not assign it again", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    await set(jobId, pause);
    await worker.kill();
    room = await room.reopen();
    expect(await get(jobId)).toMatchObject({ state: JobState.RUNNING, attempts: [{ number: 1, endedAtUs: 0n }] });
    const back = new TestWorker(room.workers, {
      incarnation: worker.incarnation,
      attempts: [{ jobId, attempt: 1, started: true, receivedGeneration: 2n }],
    });
    opened.push(back);
    const spec = await back.heard("spec");
    expect([spec.attempt, spec.spec?.generation]).toEqual([1, 3n]);
    back.report(spec);
    await state(jobId, JobState.PAUSED);
  });
});

describe("a command", () => {
  test("moves the lever at once and the state only by the worker's report; its receipt tells each step", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const { job, generation } = await set(jobId, pause);
    expect([job?.state, job?.receipts.at(-1)?.state]).toEqual([JobState.RUNNING, ReceiptState.ACCEPTED]);
    const spec = await worker.heard("spec", (each) => each.spec?.generation === generation);
    expect((await get(jobId)).state).toBe(JobState.RUNNING);
    worker.report(spec);
    const paused = await state(jobId, JobState.PAUSED);
    expect(paused.receipts.at(-1)).toMatchObject({
      generation,
      state: ReceiptState.APPLIED,
      actor: { name: "operator" },
    });
  });

  test("has one effect however often its request id comes", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const sent = await Promise.all(Array.from({ length: 50 }, () => set(jobId, pause, { requestId: "p" })));
    expect(new Set(sent.map(({ generation }) => generation)).size).toBe(1);
    expect((await get(jobId)).spec?.generation).toBe(sent[0]?.generation);
    expect((await code(set(jobId, cancel, { requestId: "p" })))[0]).toBe(Code.AlreadyExists);
    room = await room.reopen();
    expect((await set(jobId, pause, { requestId: "p" })).generation).toBe(sent[0]?.generation);
  });

  test("on a stale generation changes nothing and says who was first", async () => {
    const worker = await connect();
    const { jobId, spec } = await startRunning(worker);
    await set(jobId, pause);
    expect(await code(set(jobId, cancel, { ifGeneration: spec?.generation ?? 0n }))).toEqual([
      Code.Aborted,
      expect.stringContaining("operator moved the run lever"),
    ]);
  });

  test.each([
    ["to no job", () => set("j-none", pause), Code.NotFound, /no job j-none/],
    ["without a lever", (id: string) => set(id, { case: undefined }), Code.InvalidArgument, /names no lever/],
    [
      "of speed 0",
      (id: string) => set(id, { case: "speed", value: { itemsPerSecond: 0 } }),
      Code.InvalidArgument,
      /not above 0/,
    ],
    [
      "of priority while it runs",
      (id: string) => set(id, { case: "priority", value: { priority: 1 } }),
      Code.FailedPrecondition,
      /orders the queue/,
    ],
    [
      "without a request id",
      (id: string) => set(id, pause, { requestId: "" }),
      Code.InvalidArgument,
      /request_id has 0/,
    ],
  ])("%s is refused precisely", async (_, send, expected, message) => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    expect(await code(send(jobId))).toEqual([expected, expect.stringMatching(message)]);
  });

  test("to a job that has ended is refused with its state", async () => {
    const worker = await connect();
    const spec = await startRunning(worker);
    worker.report(spec, { end: { outcome: EndOutcome.FAILED, reason: "disk", endLine: 1n, atUs: 1n } });
    await state(spec.jobId, JobState.FAILED);
    expect(await code(set(spec.jobId, pause))).toEqual([
      Code.FailedPrecondition,
      expect.stringContaining("it is failed"),
    ]);
    const { job } = await room.jobs.retryJob({ requestId: "again", jobId: spec.jobId });
    await room.jobs.retryJob({ requestId: "again", jobId: spec.jobId });
    expect(job?.id).toBe(spec.jobId);
    await worker.heard("spec", ({ attempt }) => attempt === 2);
    expect((await get(spec.jobId)).attempts).toHaveLength(2);
  });
});

describe("starting a job is refused precisely", () => {
  const schema: JsonObject = {
    type: "object",
    additionalProperties: false,
    required: ["folder"],
    properties: {
      folder: { type: "string", minLength: 1, pattern: "^/" },
      minimum_size: { type: "integer", minimum: 0, default: 7 },
    },
  };
  const begin = (request: {
    type?: string;
    parameters?: JsonObject;
    requestId?: string;
    labels?: Record<string, string>;
  }) => room.jobs.startJob({ requestId: `r-${++requests}`, type: "walk", parameters: { folder: "/x" }, ...request });

  test.each([
    ["for a type that nobody offers", { type: "nope" }, /No known worker offers the job type 'nope'/],
    ["for a missing parameter", { parameters: {} }, /required property 'folder'/],
    ["for a parameter out of bounds", { parameters: { folder: "/x", minimum_size: -1 } }, /minimum_size must be >= 0/],
    ["for a pattern that does not fit", { parameters: { folder: "x" } }, /folder must match pattern/],
    ["for an unknown parameter", { parameters: { folder: "/x", colour: 1 } }, /has no parameter 'colour'/],
    ["without a request id", { requestId: "" }, /request_id has 0 characters/],
    ["for a label without a key", { labels: { "": "x" } }, /a key has 1 to 63/],
  ])("%s", async (_, request, message) => {
    await connect({ types: [{ name: "walk", parametersSchema: schema, levers: ["run"] }] });
    expect(await code(begin(request))).toEqual([Code.InvalidArgument, expect.stringMatching(message)]);
    const { job } = await begin({});
    expect(job?.spec?.levers.map((lever) => lever.value?.value)).toContainEqual(
      expect.objectContaining({
        case: "parameters",
        value: expect.objectContaining({ parameters: { folder: "/x", minimum_size: 7 } }) as unknown,
      }),
    );
  });
});

describe("lines", () => {
  test("that are pushed again are acknowledged and stored once", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const first = worker.push(jobId, 1);
    first.lines(["a", "b", "c"]);
    await first.acknowledged(4);
    const second = worker.push(jobId, 1);
    await second.acknowledged(4);
    second.lines(["b", "c", "d"], 2);
    await second.acknowledged(5);
    first.lines(["d", "e"], 4);
    await first.acknowledged(6);
    expect(await text(jobId)).toBe("a\nb\nc\nd\ne\n");
  });

  test.each([
    [
      "beyond the next line",
      (push: ReturnType<TestWorker["push"]>) => push.lines(["x"], 9),
      Code.Aborted,
      /begins at line 9, the next line is 2/,
    ],
    [
      "with wrong lengths",
      (push: ReturnType<TestWorker["push"]>) =>
        push.say({
          case: "chunk",
          value: toBinary(
            ChunkBodySchema,
            create(ChunkBodySchema, {
              firstLine: 2n,
              lineCount: 1,
              timeDeltaUs: [0],
              length: [9],
              lineFlags: Uint8Array.of(0),
              blob: Buffer.from("x\n"),
            }),
          ),
        }),
      Code.InvalidArgument,
      /more than the 2 bytes/,
    ],
    [
      "that are no chunk",
      (push: ReturnType<TestWorker["push"]>) => push.say({ case: "chunk", value: Uint8Array.of(255) }),
      Code.InvalidArgument,
      /not an encoded ChunkBody/,
    ],
    [
      "over the limit",
      (push: ReturnType<TestWorker["push"]>) => push.say({ case: "chunk", value: new Uint8Array(300_000) }),
      Code.InvalidArgument,
      /at most 262144/,
    ],
  ])(
    "%s are refused with what was expected, and another job beside it loses nothing",
    async (_, send, expected, reason) => {
      const worker = await connect();
      const [bad, canary] = [await startRunning(worker), await startRunning(worker)];
      const beside = worker.push(canary.jobId, 1);
      beside.lines(["c1"]);
      const push = worker.push(bad.jobId, 1);
      push.lines(["good"]);
      await push.acknowledged(2);
      send(push);
      const error = ConnectError.from(await push.ended);
      expect([error.code, error.findDetails(LogRefusalSchema)[0]]).toEqual([
        expected,
        expect.objectContaining({ nextLine: 2n, reason: expect.stringMatching(reason) as unknown }),
      ]);
      beside.lines(["c2"]);
      await beside.acknowledged(3);
      expect([await text(bad.jobId), await text(canary.jobId)]).toEqual(["good\n", "c1\nc2\n"]);
    },
  );

  test("of an attempt that is not this process's own are not taken", async () => {
    const worker = await connect();
    const other = await connect({ workerId: "w2" });
    const { jobId } = await startRunning(worker);
    expect(ConnectError.from(await other.push(jobId, 1).ended).code).toBe(Code.FailedPrecondition);
    expect(ConnectError.from(await worker.push(jobId, 2).ended).code).toBe(Code.FailedPrecondition);
    expect(ConnectError.from(await worker.push("j-none", 1).ended).code).toBe(Code.NotFound);
    expect(ConnectError.from(await worker.push(jobId, 1, "nobody-is-connected").ended).code).toBe(Code.Unavailable);
  });
});

describe("a worker process", () => {
  test("that takes another's name over makes its attempts lost at once, and the old one is told", async () => {
    const old = await connect();
    const { jobId } = await startRunning(old);
    const fresh = await connect();
    expect(await state(jobId, JobState.LOST)).toMatchObject({
      reason: "worker restarted: another process has its name",
    });
    await old.end();
    expect(ConnectError.from(old.ended).code).toBe(Code.FailedPrecondition);
    expect(fresh.received.filter(({ message }) => message.case === "spec")).toEqual([]);
  });

  test("that connects again goes on with its attempts, and gets the assignment that never reached it", async () => {
    const first = await connect();
    const { id } = await start();
    await first.heard("spec");
    await first.kill();
    const again = await connect({ incarnation: first.incarnation });
    expect(await again.heard("spec")).toMatchObject({ jobId: id, attempt: 1 });
  });

  test("that reports an attempt which is not its own is told to stop it", async () => {
    const worker = await connect();
    worker.report({ jobId: "j-none", attempt: 3 } as AttemptSpec, { levers: [] });
    expect(await worker.heard("fenced")).toMatchObject({ jobId: "j-none", attempt: 3 });
  });

  test("that did not hear that its end was accepted is told again", async () => {
    const worker = await connect();
    const spec = await startRunning(worker);
    const end = { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n };
    worker.report(spec, { end });
    await state(spec.jobId, JobState.SUCCEEDED);
    await worker.kill();
    const again = await connect({
      incarnation: worker.incarnation,
      attempts: [{ jobId: spec.jobId, attempt: 1, started: true, end }],
    });
    expect(await again.heard("endAccepted")).toMatchObject({ jobId: spec.jobId });
  });

  test("that releases a job gives it back to the queue, and another worker takes it", async () => {
    const worker = await connect();
    const spec = await startRunning(worker);
    worker.say({ case: "leaving", value: { $typeName: "signalbox.v1.Leaving", reason: "stop" } });
    worker.report(spec, { end: { outcome: EndOutcome.RELEASED, endLine: 1n, atUs: 1n } });
    await state(spec.jobId, JobState.QUEUED);
    const other = await connect({ workerId: "w2" });
    expect(await other.heard("spec")).toMatchObject({ jobId: spec.jobId, attempt: 2 });
  });

  test.each([
    ["no slots", { slots: 0 }, /slots is 0/],
    ["a bad name", { workerId: "a b" }, /worker_id/],
    ["a short incarnation", { incarnation: "x" }, /incarnation/],
    ["a type twice", { types: [{ name: "a" }, { name: "a" }] }, /offered twice/],
    ["an unknown lever", { types: [{ name: "a", levers: ["jump"] }] }, /lever 'jump'/],
  ])("with %s is refused with the reason", async (_, options, message) => {
    const worker = new TestWorker(room.workers, options);
    opened.push(worker);
    await worker.end();
    expect(ConnectError.from(worker.ended)).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(message) as unknown,
    });
  });
});

describe("watching", () => {
  /** Reads until `enough` says so, then leaves. */
  async function watch(
    subscriptions: Parameters<typeof room.live.watch>[0]["subscriptions"] & object,
    enough: (seen: WatchResponse[]) => boolean,
  ): Promise<WatchResponse[]> {
    const abort = new AbortController();
    const seen: WatchResponse[] = [];
    try {
      for await (const response of room.live.watch({ subscriptions }, { signal: abort.signal })) {
        seen.push(response);
        if (enough(seen)) break;
      }
    } finally {
      abort.abort();
    }
    return seen;
  }
  const caughtUp = (seen: WatchResponse[]) => seen.some(({ message }) => message.case === "caughtUp");
  const lines = (seen: WatchResponse[]) =>
    seen
      .flatMap(({ message }) => (message.case === "log" ? message.value.entries : []))
      .flatMap(({ entry }) => {
        if (entry.case !== "chunk") return [];
        const chunk = new ChunkLines(entry.value);
        return Array.from(
          { length: chunk.count },
          (_, i) => [chunk.firstLine + i, Buffer.from(chunk.bytes(i)).toString().trimEnd()] as const,
        );
      });

  test("says hello at once, and history before what is new", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const seen = await watch([{ id: "a", kind: { case: "jobs", value: { withJobTypes: true } } }], caughtUp);
    expect(seen[0]?.message.case).toBe("hello");
    expect(
      seen.flatMap(({ message }) => (message.case === "records" ? message.value.records.map(({ id }) => id) : [])),
    ).toEqual([jobId]);
  });

  test("goes on from a cursor with nothing missing and nothing twice", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const push = worker.push(jobId, 1);
    const all: (readonly [number, string])[] = [];
    let cursor = new Uint8Array();
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 3; i++) push.lines([`round ${round} line ${i}`]);
      const target = round * 3 + 3;
      const seen = await watch(
        [{ id: "log", cursor, kind: { case: "log", value: { jobId, attempt: 1 } } }],
        (got) => lines(got).at(-1)?.[0] === target,
      );
      all.push(...lines(seen));
      cursor = Uint8Array.from(seen.findLast((each) => each.cursor.length > 0)?.cursor ?? []);
    }
    expect(all.map(([line]) => line)).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
  });

  test("shows the last lines first when that is asked, and how long the log is", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const push = worker.push(jobId, 1);
    for (let i = 1; i <= 50; i++) push.lines([`${i}`]);
    await push.acknowledged(51);
    const seen = await watch(
      [{ id: "log", kind: { case: "log", value: { jobId, start: { case: "last", value: 5 } } } }],
      caughtUp,
    );
    expect(lines(seen).map(([line]) => line)).toContain(46);
    expect(lines(seen).map(([line]) => line)).not.toContain(1);
    expect(seen.find(({ message }) => message.case === "log")?.message.value).toMatchObject({ endLine: 51n });
  });

  test("leaves lines out only for a reader that allows it, says which, and goes on close to the end", async () => {
    const worker = await connect();
    const { jobId } = await startRunning(worker);
    const push = worker.push(jobId, 1);
    for (let i = 0; i < 30; i++)
      push.lines(Array.from({ length: 100 }, (_, k) => `${i * 100 + k + 1} ${"x".repeat(1000)}`));
    await push.acknowledged(3001);
    const request = (allowSkip: boolean) => [
      {
        id: "log",
        kind: { case: "log" as const, value: { jobId, allowSkip, start: { case: "fromLine" as const, value: 1n } } },
      },
    ];
    const last = (got: WatchResponse[]) => lines(got).at(-1)?.[0] === 3000;
    const whole = await watch(request(false), last);
    expect(lines(whole)).toHaveLength(3000);
    const skipped = await watch(request(true), last);
    const missing = skipped.flatMap(({ message }) =>
      message.case === "log" && message.value.notSent ? [message.value.notSent] : [],
    );
    const left = missing.reduce((sum, { lineCount }) => sum + Number(lineCount), 0);
    expect(left).toBeGreaterThan(1000);
    expect(lines(skipped).length + left).toBe(3000);
    expect(lines(skipped)[0]?.[0]).toBe(Number((missing[0]?.firstLine ?? 0n) + (missing[0]?.lineCount ?? 0n)));
  });

  test("tells a subscription that fails what is wrong, and the others go on", async () => {
    await connect();
    await start();
    const seen = await watch(
      [
        { id: "bad", kind: { case: "job", value: { jobId: "j-none" } } },
        { id: "good", kind: { case: "jobs", value: {} } },
      ],
      (got) => caughtUp(got) && got.some(({ message }) => message.case === "error"),
    );
    expect(seen.find(({ message }) => message.case === "error")).toMatchObject({
      subscriptionId: "bad",
      message: { value: { code: Code.NotFound } },
    });
  });

  test("ends a log subscription after the seal", async () => {
    const worker = await connect();
    const spec = await startRunning(worker);
    worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
    const seen = await watch([{ id: "log", kind: { case: "log", value: { jobId: spec.jobId } } }], (got) =>
      got.some(
        ({ message }) => message.case === "log" && message.value.entries.some(({ entry }) => entry.case === "seal"),
      ),
    );
    expect(seen.length).toBeGreaterThan(1);
  });

  test.each([
    ["no subscription", [], /1 to 32 subscriptions, not 0/],
    [
      "two of one id",
      [
        { id: "a", kind: { case: "jobs" as const, value: {} } },
        { id: "a", kind: { case: "jobs" as const, value: {} } },
      ],
      /Two subscriptions/,
    ],
    ["one that follows nothing", [{ id: "a" }], /does not say what to follow/],
  ])("%s is refused", async (_, subscriptions, message) => {
    expect(await code(watch(subscriptions, () => false))).toEqual([
      Code.InvalidArgument,
      expect.stringMatching(message),
    ]);
  });
});
