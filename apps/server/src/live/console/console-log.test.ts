import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { ChunkLines, EndOutcome, GapCause, GapSchema } from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { TestRoom } from "../../testing/open-test-room.ts";
import { TestConsole } from "../../testing/test-console.ts";

// Each opens a store, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const types = [{ name: "count", levers: ["run"] }];
const step = fc.oneof(
  fc.record({ kind: fc.constant("lines" as const), count: fc.integer({ min: 1, max: 120 }) }),
  fc.record({ kind: fc.constant("gap" as const), count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 5, max: 150 }) }),
  fc.record({
    kind: fc.constant("rate" as const),
    rate: fc.constantFrom(undefined, 0.5, 2.5, 30, 200, 3_000),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Prints what the steps say into one attempt and ends it, while consoles watch. Returns all lines that are stored, by number. */
async function play(room: TestRoom, steps: readonly Step[], consoles: (jobId: string) => TestConsole[]) {
  const worker = await room.connect({ types });
  const { jobId, attempt } = await room.startRunning(worker);
  const watching = consoles(jobId);
  for (const each of watching) await each.heard("log");
  const push = worker.push(jobId, attempt);
  let next = 1;
  for (const each of steps)
    if (each.kind === "wait") await delay(each.ms);
    else if (each.kind === "rate")
      for (const console of watching)
        console.say({ case: "setRate", value: each.rate === undefined ? {} : { eventsPerSecond: each.rate } });
    else {
      const first = next;
      next += each.count;
      if (each.kind === "lines")
        push.lines(
          Array.from({ length: each.count }, (_, i) => `line ${first + i}`),
          first,
        );
      else {
        const gap = { firstLine: BigInt(first), lineCount: BigInt(each.count), cause: GapCause.DROPPED_OLDEST };
        push.say({ case: "gap", value: create(GapSchema, gap) });
      }
    }
  await push.acknowledged(next);
  const spec = await worker.heard("spec", (each) => each.jobId === jobId);
  worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: BigInt(next), atUs: 1n } });
  for (const each of watching) {
    await each.heard("done");
    expect(each.all("log").at(-1)?.nextLine).toBe(BigInt(next));
  }
  return { jobId, watching };
}

/** The lines that `ReadLogs` has for those that were left out, as the contract says to fetch them. */
async function leftOut(room: TestRoom, jobId: string, console: TestConsole): Promise<Map<number, string>> {
  const lines = new Map<number, string>();
  for (const { attempt, firstLine, skippedLines } of console.all("log")) {
    for (let fromLine = firstLine - skippedLines; fromLine < firstLine;) {
      const read = await room.domain.logs.readLogs({ jobId, attempt, fromLine, lineCount: firstLine - fromLine });
      for (const { entry } of read.entries) {
        if (entry.case !== "chunk") continue;
        const chunk = new ChunkLines(entry.value);
        for (let index = 0; index < chunk.count; index++) {
          const line = chunk.firstLine + index;
          if (line < fromLine || line >= firstLine) continue;
          expect(lines.has(line)).toBe(false);
          lines.set(line, Buffer.from(chunk.bytes(index)).toString().trimEnd());
        }
      }
      fromLine = read.nextLine;
    }
  }
  return lines;
}

test(
  "whatever is printed, and however the rate changes, what a console gets and what it can fetch are all lines, each once",
  { timeout: 120_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
        await using room = await TestRoom.open();
        const { jobId, watching } = await play(room, steps, (jobId) => [
          new TestConsole(room.domain.run, { jobId, rate: { eventsPerSecond: 50 } }),
        ]);
        const stored = new Map<number, string>();
        let next = 1;
        for (const each of steps) {
          if (each.kind === "lines") for (let i = 0; i < each.count; i++) stored.set(next + i, `line ${next + i}`);
          if (each.kind === "lines" || each.kind === "gap") next += each.count;
        }
        for (const console of watching) {
          const got = console.lines();
          const fetched = await leftOut(room, jobId, console);
          for (const line of got.keys()) expect(fetched.has(line)).toBe(false);
          expect(new Map([...got, ...fetched].sort(([a], [b]) => a - b))).toEqual(stored);
        }
      }),
      { numRuns: 8 },
    );
  },
);

test.each([0.7, 8, 90])(
  "at %d events a second a console gets no more than that, of lines and progress together",
  async (perSecond) => {
    await using room = await TestRoom.open();
    const fromMs = performance.now();
    const steps: Step[] = Array.from({ length: 60 }, (_, i) =>
      i % 2 === 0 ? { kind: "lines", count: 40 } : { kind: "wait", ms: 40 },
    );
    const { watching } = await play(room, steps, (jobId) => [
      new TestConsole(room.domain.run, { jobId, rate: { eventsPerSecond: perSecond } }),
    ]);
    for (const console of watching) {
      let sent = 0;
      for (const [i, event] of console.received.entries()) {
        const lines = event.case === "log" ? Number(event.value.nextLine - event.value.firstLine) : 0;
        sent += event.case === "progress" ? 1 : lines;
        const seconds = ((console.receivedMs[i] ?? 0) - fromMs) / 1000;
        // What was received by now was sent before now; the first progress is sent in any case.
        expect(sent).toBeLessThanOrEqual(1 + Math.max(1, perSecond / 10) + perSecond * seconds);
      }
      expect(sent).toBeGreaterThan(0);
    }
  },
);
