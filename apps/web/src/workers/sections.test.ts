import { create } from "@bufbuild/protobuf";
import { JobState, RunMode, WorkerAttemptSchema } from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jobRecord, runValue } from "../jobs/samples.ts";
import { attemptOf } from "./samples.ts";
import { letters, seatKey, sectionsOf, sectionsText, takeSeats, workerJob, type Seats } from "./sections.ts";

const attempt = (jobId: string, state: JobState = JobState.RUNNING) =>
  create(WorkerAttemptSchema, attemptOf(jobId, state));

describe("seats", () => {
  test("a job keeps its section when others come and go", () => {
    const three = takeSeats(
      [],
      ["a", "b", "c"].map((id) => attempt(id)),
      4,
    );
    expect(three).toEqual(["a/1", "b/1", "c/1", undefined]);
    const two = takeSeats(three, [attempt("a"), attempt("c")], 4);
    expect(two).toEqual(["a/1", undefined, "c/1", undefined]);
    expect(
      takeSeats(
        two,
        ["a", "c", "d", "e"].map((id) => attempt(id)),
        4,
      ),
    ).toEqual(["a/1", "d/1", "c/1", "e/1"]);
  });

  test("whatever comes and goes, each attempt has one seat, keeps it, and none is beyond need", () => {
    const steps = fc.array(
      fc.uniqueArray(
        fc.nat({ max: 12 }).map((n) => `j${n}`),
        { maxLength: 8 },
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 6 }), (rounds, slots) => {
        let seats: Seats = [];
        for (const ids of rounds) {
          const attempts = ids.map((id) => attempt(id));
          const next = takeSeats(seats, attempts, slots);
          expect(next.filter((key) => key !== undefined).sort()).toEqual(attempts.map(seatKey).sort());
          expect(next.length).toBe(Math.max(slots, attempts.length));
          for (const [at, key] of seats.entries())
            if (key !== undefined && at < slots && next.includes(key)) expect(next[at]).toBe(key);
          seats = next;
        }
      }),
    );
  });
});

describe("sections", () => {
  const jobs = (...list: ReturnType<typeof workerJob>[]) => new Map(list.map((job) => [`${job.id}/1`, job]));
  const asks = (id: string, state: JobState, mode: RunMode) =>
    jobRecord({
      id,
      state,
      spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(mode) }] },
      attempts: [{ number: 1, workerId: "box-1" }],
    });

  test("are occupied, in between, lost, free or closed", () => {
    const all = jobs(
      workerJob(attempt("runs"), undefined),
      workerJob(attempt("starts", JobState.QUEUED), undefined),
      workerJob(attempt("pauses"), asks("pauses", JobState.RUNNING, RunMode.PAUSE)),
      workerJob(attempt("lost", JobState.LOST), undefined),
    );
    const seats = ["runs/1", "starts/1", "pauses/1", "lost/1", undefined];
    const kinds = (open: boolean) => sectionsOf(seats, all, open).map(({ kind }) => kind);
    expect(kinds(true)).toEqual(["occupied", "between", "between", "lost", "free"]);
    expect(kinds(false).at(-1)).toBe("closed");
    expect(sectionsText(sectionsOf(seats, all, false))).toBe("4 of 5 slots busy, 1 closed");
  });

  test("what is asked of a job shows in its word, unless its record is of another attempt or moment", () => {
    expect(workerJob(attempt("a"), asks("a", JobState.RUNNING, RunMode.CANCEL)).word).toBe("Cancelling");
    expect(workerJob(attempt("a"), asks("a", JobState.SUCCEEDED, RunMode.RUN)).word).toBe("Running");
    expect(workerJob(attempt("a", JobState.PAUSED), undefined).word).toBe("Paused");
  });

  test("show three letters of the type", () => {
    expect(["index", "x-ray.scan", "a", "-"].map(letters)).toEqual(["ind", "xra", "a", "·"]);
  });
});
