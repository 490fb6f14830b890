import { EndOutcome, RunMode } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { ProgramFailed } from "./index.ts";
import { job, roomForTests, untilAborted } from "./room-for-tests.ts";

const room = roomForTests();

describe("the end of a program that a job ran", () => {
  test("stands beside a success", async () => {
    await room.start([job(() => ({ exitCode: 0 }))]);
    const attempt = room.server.assign("a", "test");
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.report?.end).toMatchObject({ exitCode: 0, signal: "" });
  });

  test.each([
    [{ exitCode: 3 }, { exitCode: 3, signal: "" }],
    [{ signal: "SIGSEGV" }, { signal: "SIGSEGV" }],
    [{ exitCode: 0xc0000005 }, { exitCode: -1073741819, signal: "" }],
  ])("stands beside a failure (%o), and the log gets no stack", async (end, reported) => {
    await room.start([
      job(({ log }) => {
        log.info("its own words");
        throw new ProgramFailed("make ended badly", end);
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    expect(await room.ended(attempt)).toBe(EndOutcome.FAILED);
    expect(attempt.report?.end).toMatchObject({ reason: "make ended badly", ...reported });
    expect(attempt.text).toBe("its own words\n");
  });

  test("stands beside a cancel, whose reason counts", async () => {
    await room.start([
      job(async ({ signal }) => {
        await untilAborted(signal).catch(() => {
          throw new ProgramFailed("ended by SIGTERM", { signal: "SIGTERM" });
        });
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 60_000, reason: "enough" } });
    expect(await room.ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.report?.end).toMatchObject({ reason: "enough", signal: "SIGTERM" });
    expect(attempt.text).toBe("");
  });

  test("is not there for a job that ran none", async () => {
    await room.start([job(() => undefined)]);
    const attempt = room.server.assign("a", "test");
    await room.ended(attempt);
    expect(attempt.report?.end?.exitCode).toBeUndefined();
  });
});
