import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { EndOutcome, JobEntrySchema, ReceiptState, ReceiptSchema, RunMode, type JobEntry } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { JobHistory } from "./history.ts";
import { didWhat } from "./lever-words.ts";
import { jobRecord, runValue, speedValue } from "./samples.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");
const entry = (init: Exclude<MessageInitShape<typeof JobEntrySchema>, JobEntry>) =>
  create(JobEntrySchema, { atUs: 1_000_000n, actor: { name: "ana" }, ...init });
const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n }];
const pause = (
  state: ReceiptState,
  more: Exclude<MessageInitShape<typeof ReceiptSchema>, { $typeName: "signalbox.v1.Receipt" }> = {},
) =>
  create(ReceiptSchema, {
    generation: 2n,
    value: runValue(RunMode.PAUSE),
    actor: { name: "ana" },
    state,
    acceptedAtUs: 1_000_000n,
    ...more,
  });
const commanded = entry({
  cause: { case: "command", value: { action: { case: "set", value: runValue(RunMode.PAUSE) }, generation: 2n } },
  record: jobRecord({ attempts, receipts: [pause(ReceiptState.ACCEPTED)] }),
});
const applied = { attempt: 1, atLine: 120n, decidedAtUs: 1_038_000n };
const reported = (receipt = pause(ReceiptState.APPLIED, applied)) =>
  entry({
    cause: { case: "report", value: { attempt: 1, started: true } },
    record: jobRecord({ attempts, receipts: [receipt] }),
  });

function history(...entries: JobEntry[]) {
  const folded = new JobHistory();
  folded.add(entries);
  return folded;
}

describe("a job's history", () => {
  test("tells each thing once, in order, however often reports repeat it", () => {
    const { items } = history(
      entry({ cause: { case: "started", value: {} }, record: jobRecord() }),
      entry({
        cause: { case: "assignment", value: { attempt: 1, workerId: "box-01" } },
        record: jobRecord({ attempts }),
      }),
      reported(),
      reported(),
      entry({
        cause: { case: "lost", value: { attempt: 1, reason: "silent for 15 s" } },
        record: jobRecord({ attempts }),
      }),
      entry({ cause: { case: "back", value: { attempt: 1 } }, record: jobRecord({ attempts }) }),
      entry({
        cause: {
          case: "report",
          value: {
            attempt: 1,
            started: true,
            end: { outcome: EndOutcome.FAILED, exitCode: 137, reason: "out of memory" },
          },
        },
        record: jobRecord({ attempts }),
      }),
      entry({ cause: { case: "retry", value: {} }, record: jobRecord({ attempts }) }),
    );
    expect(items.map(({ title, text }) => [title, text].filter(Boolean).join(": "))).toEqual([
      "Started by ana: waits for a worker",
      "Attempt 1 given to box-01",
      "Attempt 1 runs on box-01",
      "Attempt 1 lost: silent for 15 s",
      "Attempt 1 is back: same process, nothing lost",
      "Attempt 1 failed: exit 137, SIGKILL, out of memory",
      "Retry by ana",
    ]);
    expect(new Set(items.map((item) => item.key)).size).toBe(items.length);
  });

  test("a worker that comes back as another process makes no lost attempt lost twice", () => {
    const lost = (reason: string) =>
      entry({ cause: { case: "lost", value: { attempt: 1, reason } }, record: jobRecord({ attempts }) });
    const back = entry({ cause: { case: "back", value: { attempt: 1 } }, record: jobRecord({ attempts }) });
    const { items } = history(lost("silent for 15 s"), lost("came back"), back, lost("silent for 15 s"));
    expect(items.map(({ title, text }) => `${title}: ${text}`)).toEqual([
      "Attempt 1 lost: silent for 15 s",
      "Attempt 1 stays lost: came back",
      "Attempt 1 is back: same process, nothing lost",
      "Attempt 1 lost: silent for 15 s",
    ]);
  });

  test("what came late is told apart from how the attempt ended, and its lines can be shown", () => {
    const given = [{ number: 1, workerId: "box-01", endedAtUs: 5_000_000n, end: { outcome: EndOutcome.GIVEN_UP } }];
    const late = (value: { firstLine?: bigint; end?: { outcome: EndOutcome; exitCode: number; atUs: bigint } }) =>
      entry({ cause: { case: "late", value: { attempt: 1, ...value } }, record: jobRecord({ attempts: given }) });
    const end = { outcome: EndOutcome.SUCCEEDED, exitCode: 0, atUs: 9_000_000n };
    const { items } = history(late({ firstLine: 41n }), late({ end }));
    expect(items).toMatchObject([
      { title: "Attempt 1: lines came late", text: "after the attempt was given up", attempt: 1, lateLines: true },
      { title: "Attempt 1: its worker's late word", attempt: 1 },
    ]);
    expect(items[1]?.text).toMatch(/^The process ended with exit code 0 at .*:09, after the attempt was given up$/);
    expect(items[1]?.lateLines).toBeUndefined();
  });

  test("a command's item follows its receipt, and an older word never replaces a newer one", () => {
    const folded = history(commanded, reported());
    const item = () => folded.items.find((each) => each.receipt);
    expect(item()).toMatchObject({ title: "Pause by ana", line: 120, receipt: { state: ReceiptState.APPLIED } });
    folded.learn(jobRecord({ receipts: [pause(ReceiptState.DELIVERED)] }));
    expect(item()?.receipt?.state).toBe(ReceiptState.APPLIED);
    folded.learn(jobRecord({ receipts: [pause(ReceiptState.PROVED, applied)] }));
    expect(item()?.receipt?.state).toBe(ReceiptState.PROVED);
  });

  test("a refused command says so and why, and leaves no marker", () => {
    const folded = history(commanded, reported(pause(ReceiptState.REJECTED, { ...applied, reason: "cancelling" })));
    expect(folded.items[0]).toMatchObject({ title: "Pause by ana, refused", text: "cancelling", tone: "stop" });
    expect(folded.markers(1)).toEqual([]);
  });

  test("markers stand where a command took effect in its own attempt", () => {
    const folded = history(commanded, reported());
    expect(folded.markers(1)).toEqual([
      {
        generation: 2,
        attempt: 1,
        line: 120,
        who: "ana",
        what: "paused",
        short: "pause",
        atUs: 1_038_000,
        afterMs: 38,
        proof: "",
      },
    ]);
    expect(folded.markers(2)).toEqual([]);
    expect(history(commanded).markers(1)).toEqual([]);
  });

  test("reset forgets everything", () => {
    const folded = history(commanded, reported());
    folded.reset();
    expect([folded.items, folded.markers(1)]).toEqual([[], []]);
  });

  test("keeps the newest two thousand things", () => {
    const folded = history(...Array.from({ length: 2_100 }, () => entry({ cause: { case: "retry", value: {} } })));
    expect(folded.items).toHaveLength(2_000);
    expect(folded.items.at(-1)?.key).toBe("e2100");
  });
});

test("what was done is said with the values before and after", () => {
  expect(plain(didWhat(speedValue(20), speedValue()))).toBe("set speed unlimited → 20 /s");
  expect(plain(didWhat(speedValue(20)))).toBe("set speed 20 /s");
  expect(didWhat(runValue(RunMode.RUN))).toBe("resumed");
  expect(didWhat(runValue(RunMode.CANCEL))).toBe("cancelled, at once");
});
