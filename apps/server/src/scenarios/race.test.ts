import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { JobState, RunMode } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { RealRoom } from "../testing/real-room.ts";

const jobs = 1_000;
const atOnce = 50;
/** A job is canceled so long after it has begun to run. */
const cancelAfterMs = 50;
/** By so much the next job is given more time than the last if that was done first, or less: milliseconds, and of what the last had. */
const step = { least: 4, share: 0.04 };
const { SUCCEEDED, FAILED, CANCELED } = JobState;
const ended: readonly JobState[] = [SUCCEEDED, FAILED, CANCELED];

test(
  "a thousand jobs that are canceled when they are about done: each ends once, and as its worker's own journal says",
  { timeout: 240_000 },
  async () => {
    await using room = await RealRoom.open();
    await room.start();
    await room.worker("w1", { program: "journal-worker", env: { SIGNALBOX_TEST_SLOTS: "100" } });
    // Somebody watches all of it, and never sees a job leave its end.
    const stop = new AbortController();
    const ends = new Map<string, JobState>();
    const flips: string[] = [];
    /** Who waits for a job to begin, and to end. */
    const atBegin = new Map<string, () => void>();
    const atEnd = new Map<string, () => void>();
    const begun = new Set<string>();
    const watching = (async () => {
      const subscriptions = [{ id: "jobs", kind: { case: "jobs" as const, value: {} } }];
      for await (const { message } of room.live.watch({ subscriptions }, { signal: stop.signal })) {
        if (message.case !== "records") continue;
        for (const { id, state } of message.value.records) {
          if (state !== JobState.QUEUED) {
            begun.add(id);
            atBegin.get(id)?.();
          }
          const end = ends.get(id);
          if (end !== undefined && end !== state) flips.push(`${id}: state ${end}, then ${state}`);
          if (!ended.includes(state)) continue;
          ends.set(id, state);
          atEnd.get(id)?.();
        }
      }
    })().catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });

    const answers = { taken: 0, late: 0 };
    const ids: string[] = [];
    // However fast this machine is: the cancel comes about when the job is done.
    let lastsMs = cancelAfterMs;
    const race = async (i: number): Promise<void> => {
      const parameters = { ms: Math.max(0, lastsMs + (i % 11) - 5) };
      const { job } = await room.jobs.startJob({ requestId: `race ${i}`, type: "race", parameters });
      const id = job?.id ?? "";
      ids.push(id);
      if (!begun.has(id)) await new Promise<void>((resolve) => atBegin.set(id, resolve));
      await delay(cancelAfterMs);
      try {
        await room.set(id, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 5_000 } });
        answers.taken++;
      } catch (error) {
        expect(ConnectError.from(error).code).toBe(Code.FailedPrecondition);
        answers.late++;
      }
      if (!ends.has(id)) await new Promise<void>((resolve) => atEnd.set(id, resolve));
      const by = Math.max(step.least, Math.round(Math.abs(lastsMs) * step.share));
      lastsMs += ends.get(id) === SUCCEEDED ? by : -by;
    };
    await room.offered("race");
    let next = 0;
    const lane = async () => {
      for (let i = next++; i < jobs; i = next++) await race(i);
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
    await expect.poll(() => ends.size, { timeout: 60_000 }).toBe(jobs);

    const journal = new Map<string, string[]>();
    for (const line of await room.wholeJournal()) {
      const [id = "", attempt, word] = line.split(" ");
      journal.set(id, [...(journal.get(id) ?? []), `${attempt} ${word}`]);
    }
    const counts = { succeeded: 0, canceled: 0 };
    const shown = await Promise.all(ids.map((jobId) => room.jobs.getJob({ jobId })));
    for (const { job } of shown) {
      const id = job?.id ?? "";
      const told = journal.get(id);
      expect([id, job?.state]).toEqual([id, ends.get(id)]);
      if (job?.state === SUCCEEDED) expect([id, told]).toEqual([id, ["1 succeeded"]]);
      else expect([id, job?.state, told]).toEqual([id, CANCELED, ["1 canceled"]]);
      counts[job?.state === SUCCEEDED ? "succeeded" : "canceled"]++;
    }
    expect(flips).toEqual([]);
    stop.abort();
    await watching;
    // The race was one: each side has won often, and some commands came when the job still ran and was done first.
    expect(counts.succeeded).toBeGreaterThan(50);
    expect(counts.canceled).toBeGreaterThan(50);
    expect(answers.taken).toBeGreaterThanOrEqual(counts.canceled);
  },
);
