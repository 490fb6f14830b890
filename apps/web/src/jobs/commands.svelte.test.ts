import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  JobService,
  JobState,
  ReceiptState,
  RunMode,
  SendCommandResponseSchema,
  type JobRecord,
  type LeverValue,
  type SendCommandRequest,
} from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cancelDelayMs, Commands } from "./commands.svelte.ts";
import { jobRecord, runValue, speedValue } from "./samples.ts";

/** A server that keeps one job, whose generation rises with each command, and refuses what is stale. */
let stored: JobRecord;
/** What the page knows of it: not more than it was told. */
let shown: JobRecord;
let sent: SendCommandRequest[];
/** Whether what the server answers comes through. */
let answered: boolean;
let commands: Commands;
const nowMs = 1_000_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  sent = [];
  answered = true;
  stored = shown = jobRecord({ state: JobState.RUNNING, attempts: [{ number: 1 }] });
  const transport = createRouterTransport(({ service }) => {
    service(JobService, {
      sendCommand: (request) => {
        sent.push(request);
        const { ifGeneration = 0n, action } = request.command ?? {};
        if (ifGeneration !== 0n && ifGeneration !== stored.spec?.generation)
          throw new ConnectError("Somebody moved the lever.", Code.Aborted);
        if (action?.case === "set") move("operator", action.value, nowMs, request.requestId);
        if (!answered) throw new ConnectError("Failed to fetch", Code.Unknown);
        return create(SendCommandResponseSchema, { job: stored, generation: stored.spec?.generation ?? 0n });
      },
      getJob: () => ({ job: stored }),
    });
  });
  commands = new Commands(
    createClient(JobService, transport),
    { record: () => shown, learn: (job) => (shown = job) },
    () => {},
    () => nowMs,
  );
});
afterEach(() => {
  commands.close();
  vi.useRealTimers();
});

/** Somebody's command is stored; the page is not told. */
function move(who: string, value: LeverValue, atMs: number, requestId = "other"): void {
  const generation = (stored.spec?.generation ?? 0n) + 1n;
  const others = (stored.spec?.levers ?? []).filter((each) => each.value?.value.case !== value.value.case);
  stored = jobRecord({
    state: stored.state,
    attempts: [{ number: 1 }],
    spec: { generation, levers: [...others, { generation, value }] },
    receipts: [
      ...stored.receipts,
      {
        generation,
        value,
        state: ReceiptState.ACCEPTED,
        requestId,
        actor: { name: who },
        acceptedAtUs: BigInt(Math.round(atMs * 1000)),
      },
    ],
  });
}

const mode = () => {
  const value = stored.spec?.levers.find((each) => each.value?.value.case === "run")?.value?.value;
  return value?.case === "run" ? value.value.mode : undefined;
};
const plain = (text: string | undefined) => text?.replaceAll("\u00a0", " ");

test("a click on a lever that somebody else has moved changes nothing, says who, and offers the choice again", async () => {
  move("raj", runValue(RunMode.PAUSE), nowMs - 400);
  commands.cancel("j-1");
  commands.cancel("j-1");
  await vi.waitFor(() => expect(commands.fault("j-1", "end")).toBeDefined());
  const fault = commands.fault("j-1", "end");
  expect(plain(fault?.text)).toBe("Raj paused it 0.4 s before you. Your click changed nothing.");
  expect(fault?.choice?.label).toBe("Cancel anyway");
  expect(mode()).toBe(RunMode.PAUSE);
  expect(sent[0]?.command?.ifGeneration).toBe(1n);
  // Leaving it is enough to be rid of it; doing it all the same is on top of what is known now.
  commands.leave("j-1", "end");
  expect(commands.fault("j-1", "end")).toBeUndefined();
  fault?.choice?.again();
  await vi.waitFor(() => expect(mode()).toBe(RunMode.CANCEL));
  expect(sent.at(-1)?.command?.ifGeneration).toBe(2n);
  expect(commands.fault("j-1", "end")).toBeUndefined();
});

test("a click that was not answered is not said to have changed nothing, and is told of until its receipt is there", async () => {
  answered = false;
  commands.pause("j-1");
  await vi.waitFor(() => expect(commands.fault("j-1", "run")).toBeDefined());
  expect(commands.fault("j-1", "run")).toMatchObject({
    title: "docs-index: not confirmed",
    text: "The server cannot be reached. If it has heard this, the page shows it when it is live again.",
  });
  shown = stored;
  expect(commands.fault("j-1", "run")).toBeUndefined();
});

test("a move of another lever takes nothing from a click", async () => {
  move("raj", speedValue(20), nowMs - 400);
  commands.pause("j-1");
  await vi.waitFor(() => expect(mode()).toBe(RunMode.PAUSE));
  expect(commands.anyFault("j-1")).toBeUndefined();
});

test("a step of speed is refused where somebody set another limit, and so are parameters seen before others changed them", async () => {
  stored = shown = jobRecord({
    state: JobState.RUNNING,
    attempts: [{ number: 1 }],
    spec: { generation: 2n, levers: [{ generation: 2n, value: speedValue(10) }] },
  });
  move("raj", speedValue(1_000), nowMs - 3_000);
  commands.speed("j-1", 12);
  await vi.waitFor(() => expect(commands.fault("j-1", "speed")).toBeDefined());
  expect(plain(commands.fault("j-1", "speed")?.text)).toMatch(/^Raj set speed 1,000 \/s 3\.0 s before you\./);
  expect(commands.fault("j-1", "speed")?.choice?.label).toBe("Set anyway");

  const fault = await commands.parameters("j-1", { retries: 3 }, 1n);
  // Nobody had set any.
  expect(fault).toBeUndefined();
  const again = await commands.parameters("j-1", { retries: 4 }, 1n);
  // Our own command before it is no reason to refuse.
  expect(again).toBeUndefined();
});

test("presses that are gathered mean what the first of them showed, whatever the page learns meanwhile", async () => {
  commands.speed("j-1", 11, true);
  move("raj", speedValue(1_000), nowMs);
  shown = stored;
  commands.speed("j-1", 12, true);
  await vi.advanceTimersByTimeAsync(1_000);
  await vi.waitFor(() => expect(plain(commands.fault("j-1", "speed")?.text)).toMatch(/^Raj set speed 1,000 \/s/));
  expect(sent).toEqual([]);
});

test("a cancel whose countdown ends is sent on what was shown when it was asked for", async () => {
  commands.cancel("j-1");
  move("raj", runValue(RunMode.PAUSE), nowMs);
  shown = stored;
  await vi.advanceTimersByTimeAsync(cancelDelayMs);
  await vi.waitFor(() => expect(commands.fault("j-1", "end")?.text).toMatch(/^Raj paused it just before you\./));
  expect(sent).toEqual([]);
  expect(mode()).toBe(RunMode.PAUSE);
});

test("a job that ends before its cancel is sent is not cancelled, and that is said", async () => {
  commands.cancel("j-1");
  expect(commands.cancelAtMs("j-1")).toBeDefined();
  shown = jobRecord({ state: JobState.SUCCEEDED });
  await vi.advanceTimersByTimeAsync(cancelDelayMs);
  expect(commands.cancelAtMs("j-1")).toBeUndefined();
  expect(commands.fault("j-1", "end")?.text).toBe(
    "It ended by itself before your cancel was sent: succeeded. Nothing was cancelled.",
  );
  expect(sent).toEqual([]);
});

test("what a click was offered ends with the job, and another attempt does not bring it back", async () => {
  move("raj", speedValue(10), nowMs);
  commands.speed("j-1", 1);
  commands.cancel("j-1");
  await vi.waitFor(() => expect(commands.fault("j-1", "speed")?.choice).toBeDefined());
  shown = jobRecord({ state: JobState.CANCELED, attempts: [{ number: 1, endedAtUs: 5n }] });
  expect(commands.fault("j-1", "speed")).toBeUndefined();
  expect(commands.anyFault("j-1")).toBeUndefined();
  shown = jobRecord({ state: JobState.RUNNING, attempts: [{ number: 1, endedAtUs: 5n }, { number: 2 }] });
  expect(commands.fault("j-1", "speed")).toBeUndefined();
});

test("a shorter grace and a give-up contradict nobody: they are sent whatever happened meanwhile", async () => {
  move("raj", runValue(RunMode.CANCEL), nowMs - 400);
  commands.stopNow("j-1");
  await vi.waitFor(() => expect(sent.some(({ command }) => command?.ifGeneration === 2n)).toBe(true));
  commands.giveUp("j-1", "gone");
  await vi.waitFor(() => expect(sent.at(-1)?.command?.action.case).toBe("giveUp"));
  expect(sent.at(-1)?.command?.ifGeneration).toBe(0n);
  expect(commands.anyFault("j-1")).toBeUndefined();
});

test("what its worker does not have yet is taken back by its generation, and stopping by the system says so", async () => {
  move("operator", runValue(RunMode.PAUSE), nowMs);
  shown = stored;
  const [receipt] = stored.receipts;
  if (!receipt) throw new Error("no receipt");
  commands.takeBack("j-1", receipt);
  await vi.waitFor(() => expect(sent.at(-1)?.command?.action).toEqual({ case: "withdrawGeneration", value: 2n }));
  commands.systemStop("j-1");
  await vi.waitFor(() =>
    expect(sent.at(-1)?.command?.action.value).toMatchObject({
      value: { value: { mode: RunMode.PAUSE, bySystem: true } },
    }),
  );
});
