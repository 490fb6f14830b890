import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { JobEntrySchema, JobState, RunMode } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { jobRecord, runValue } from "./samples.ts";
import { StateTrack } from "./state-track.ts";

type Cause = Exclude<MessageInitShape<typeof JobEntrySchema>, { $typeName: string }>["cause"];

/** An entry after which the job is in a state; `lines` are stored then. */
function entry(atUs: number, state: JobState, lines: number, cause?: Cause, attempt = 1) {
  return create(JobEntrySchema, {
    atUs: BigInt(atUs),
    record: jobRecord({ state, attempts: attempt ? [{ number: attempt }] : [] }),
    vitals: { attempt, lines: BigInt(lines) },
    ...(cause ? { cause } : {}),
  });
}

/** The worker's word that its run lever took effect before a line. */
function took(mode: RunMode, atLine: number): Cause {
  return { case: "report", value: { attempt: 1, levers: [{ value: runValue(mode), atLine: BigInt(atLine) }] } };
}

test("a job's states follow each other, each once, and what was printed while it stood or was lost is a band", () => {
  const track = new StateTrack();
  track.add(entry(1, JobState.QUEUED, 0, undefined, 0));
  track.add(entry(2, JobState.RUNNING, 0));
  track.add(entry(3, JobState.RUNNING, 90));
  track.add(entry(4, JobState.PAUSED, 95, took(RunMode.PAUSE, 101)));
  track.add(entry(5, JobState.PAUSED, 103));
  track.add(entry(6, JobState.RUNNING, 103, took(RunMode.RUN, 104)));
  track.add(entry(7, JobState.LOST, 200));
  track.add(entry(8, JobState.RUNNING, 260));
  // It stood for a moment and printed nothing.
  track.add(entry(9, JobState.PAUSED, 300, took(RunMode.PAUSE, 301)));
  track.add(entry(10, JobState.RUNNING, 300, took(RunMode.RUN, 301)));
  expect(track.sections.map(({ state, fromUs, attempt }) => [state, fromUs, attempt])).toEqual([
    ["other", 1, 0],
    ["running", 2, 1],
    ["paused", 4, 1],
    ["running", 6, 1],
    ["lost", 7, 1],
    ["running", 8, 1],
    ["paused", 9, 1],
    ["running", 10, 1],
  ]);
  expect(track.bands(1)).toEqual([
    { kind: "paused", from: 101, to: 104 },
    { kind: "lost", from: 201, to: 261 },
  ]);
  expect(track.bands(2)).toEqual([]);
});

test("a band goes on while the job stands, and ends with its attempt", () => {
  const track = new StateTrack();
  track.add(entry(1, JobState.RUNNING, 0));
  track.add(entry(2, JobState.LOST, 50));
  expect(track.bands(1)).toEqual([{ kind: "lost", from: 51, to: undefined }]);
  track.add(entry(3, JobState.RUNNING, 0, undefined, 2));
  expect(track.bands(1)).toEqual([{ kind: "lost", from: 51, to: undefined }]);
  expect(track.bands(2)).toEqual([]);
  track.reset();
  expect(track.sections).toEqual([]);
});
