import { JobState, RunMode } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { seenState } from "./job-state.ts";
import { jobRecord, runValue } from "./samples.ts";

const wants = (mode: RunMode) => ({ generation: 2n, levers: [{ generation: 2n, value: runValue(mode) }] });
const assigned = { number: 1, workerId: "w", assignedAtUs: 1n };

describe("the word for a job's state", () => {
  test.each([
    ["Waiting", JobState.QUEUED, RunMode.RUN, []],
    ["Waiting", JobState.QUEUED, RunMode.PAUSE, []],
    ["Starting", JobState.QUEUED, RunMode.RUN, [assigned]],
    ["Cancelling", JobState.QUEUED, RunMode.CANCEL, [assigned]],
    ["Waiting", JobState.QUEUED, RunMode.RUN, [{ ...assigned, endedAtUs: 5n }]],
    ["Running", JobState.RUNNING, RunMode.RUN, [assigned]],
    ["Pausing", JobState.RUNNING, RunMode.PAUSE, [assigned]],
    ["Cancelling", JobState.RUNNING, RunMode.CANCEL, [assigned]],
    ["Paused", JobState.PAUSED, RunMode.PAUSE, [assigned]],
    ["Resuming", JobState.PAUSED, RunMode.RUN, [assigned]],
    ["Cancelling", JobState.PAUSED, RunMode.CANCEL, [assigned]],
    ["Succeeded", JobState.SUCCEEDED, RunMode.RUN, [{ ...assigned, endedAtUs: 5n }]],
    ["Failed", JobState.FAILED, RunMode.PAUSE, [{ ...assigned, endedAtUs: 5n }]],
    ["Canceled", JobState.CANCELED, RunMode.CANCEL, []],
    ["Lost", JobState.LOST, RunMode.CANCEL, [assigned]],
  ] as const)("is %s when %i was observed and %i is asked", (word, state, mode, attempts) => {
    expect(seenState(jobRecord({ state, spec: wants(mode), attempts: [...attempts] })).word).toBe(word);
  });

  test("is 'in between' exactly while asked and seen differ", () => {
    const running = (mode: RunMode) => seenState(jobRecord({ state: JobState.RUNNING, spec: wants(mode) }));
    expect(running(RunMode.PAUSE)).toMatchObject({ between: true, ended: false });
    expect(running(RunMode.RUN)).toMatchObject({ between: false, ended: false });
    expect(seenState(jobRecord({ state: JobState.FAILED }))).toMatchObject({ between: false, ended: true });
  });
});
