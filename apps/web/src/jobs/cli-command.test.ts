import { JobState, RunMode } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { leverCommands, startCommand } from "./cli-command.ts";
import { logLevelValue } from "./log-level.ts";
import { priorityValue } from "./priority.ts";
import { jobRecord, runValue, speedValue } from "./samples.ts";

test("a start is the command line that does the same", () => {
  const start = {
    type: "index",
    name: "docs of Ada's",
    labels: { team: "search", note: "a b" },
    parameters: { folder: "/srv/a b", zip: "42", depth: 3, skip: ["*.o", "a'b"] },
    levers: [speedValue(20), priorityValue(-5), logLevelValue(4), runValue(RunMode.PAUSE)],
  };
  const schema = { type: "object", properties: { folder: { type: "string" }, zip: {} } };
  expect(startCommand(start, schema)).toBe(
    String.raw`signalbox start index 'folder=/srv/a b' 'zip="42"' depth=3 'skip=["*.o","a'\''b"]' --name 'docs of Ada'\''s' --label team=search --label 'note=a b' --speed 20 --priority=-5 --level warn --paused`,
  );
});

test("the levers of a job are command lines with the values that are wanted now", () => {
  const job = jobRecord({
    state: JobState.RUNNING,
    attempts: [{ number: 1 }],
    spec: { generation: 2n, levers: [{ generation: 2n, value: speedValue(20) }] },
  });
  expect(leverCommands(job, undefined, 10_000).map(({ command }) => command)).toEqual([
    "signalbox pause j-1",
    "signalbox speed j-1 20",
    "signalbox level j-1 trace",
    "signalbox cancel j-1 --grace 10s",
    "signalbox logs j-1 --follow",
  ]);
  expect(leverCommands(jobRecord({ state: JobState.FAILED }), undefined, 10_000).map(({ label }) => label)).toEqual([
    "Retry",
    "Log",
  ]);
});
