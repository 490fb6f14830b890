import { create } from "@bufbuild/protobuf";
import { AttemptEndSchema, EndOutcome } from "./gen/signalbox/v1/job_pb.ts";
import { expect, test } from "vitest";
import { endWord, exitText } from "./exit-text.ts";

const end = (init: { exitCode?: number; signal?: string; outcome?: EndOutcome }) => create(AttemptEndSchema, init);

test("a signal has its name, whether the worker or only the code tells it", () => {
  expect(exitText(end({ exitCode: 0 }))).toBe("exit 0");
  expect(exitText(end({ exitCode: 139, signal: "SIGSEGV" }))).toBe("exit 139, SIGSEGV");
  expect(exitText(end({ exitCode: 137 }))).toBe("exit 137, SIGKILL");
  expect(exitText(end({ signal: "SIGTERM" }))).toBe("exit 143, SIGTERM");
  expect(exitText(end({ signal: "KILL" }))).toBe("exit 137, SIGKILL");
  expect(exitText(end({ exitCode: 255 }))).toBe("exit 255");
  expect(exitText(end({ signal: "signal 40" }))).toBe("exit 168, signal 40");
  expect(exitText(end({ signal: "SIGRTMIN+3" }))).toBe("SIGRTMIN+3");
});

test("an end without a program is a word", () => {
  expect(exitText(end({}))).toBe("");
  expect(endWord(end({ outcome: EndOutcome.RELEASED }))).toBe("released");
});
