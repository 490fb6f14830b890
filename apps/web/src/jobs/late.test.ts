import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AttemptEndSchema, AttemptSchema, EndOutcome } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { lateEndText, ownWord } from "./late.ts";

const end = (init: Exclude<MessageInitShape<typeof AttemptEndSchema>, { $typeName: "signalbox.v1.AttemptEnd" }>) =>
  create(AttemptEndSchema, { outcome: EndOutcome.FAILED, ...init });

test.each([
  [{ exitCode: 0, outcome: EndOutcome.SUCCEEDED }, "the process ended with exit code 0"],
  [{ exitCode: 3 }, "the process ended with exit code 3"],
  [{ signal: "KILL" }, "the process was ended by SIGKILL"],
  [{ exitCode: 137, signal: "SIGKILL" }, "the process was ended by SIGKILL"],
  [{ outcome: EndOutcome.SUCCEEDED }, "the worker says that it succeeded"],
  [{ reason: "no such file" }, "the worker says that it failed: no such file"],
  [{ outcome: EndOutcome.CANCELED }, "the worker says that it was canceled"],
])("%o is told as '%s'", (init, text) => {
  expect(ownWord(end(init))).toBe(text);
});

test("the worker's word says whether it ended before or after the attempt was given up", () => {
  const attempt = create(AttemptSchema, { endedAtUs: 10_000_000n, end: { outcome: EndOutcome.GIVEN_UP } });
  const at = (atUs: bigint) => lateEndText(end({ exitCode: 0, atUs }), attempt, 20_000);
  expect(at(12_000_000n)).toMatch(
    /^the process ended with exit code 0 at \d\d:\d\d:12, after the attempt was given up$/,
  );
  expect(at(8_000_000n)).toMatch(/:08, before the attempt was given up$/);
});
