import { EndOutcome, RunMode } from "@signalbox/protocol";
import { startWorker, type Worker } from "@signalbox/worker";
import { ServerForTests, type StoredAttempt } from "@signalbox/worker/server-for-tests";
import { afterEach, beforeEach, expect, test } from "vitest";
import { wordcountJob } from "./wordcount-job.ts";

let server: ServerForTests;
let worker: Worker;

beforeEach(async () => {
  server = new ServerForTests();
  await server.start();
  worker = await startWorker({
    jobs: [wordcountJob],
    url: server.url,
    token: server.token,
    onNotice: () => undefined,
  });
  await server.until(() => worker.state.kind === "open", "the worker is connected");
});

afterEach(async () => {
  await worker.stop();
  await server.stop();
  expect(server.violations).toEqual([]);
});

const results = (attempt: StoredAttempt) => attempt.vitals.findLast(({ results }) => results)?.results;

async function end(attempt: StoredAttempt) {
  await server.until(() => attempt.endAccepted, "the attempt has ended");
  return attempt.report?.end;
}

test("wordcount shows what it has counted while the input is still coming, and all of it in the end", async () => {
  const attempt = server.assign("a", "wordcount", { parameters: { bytes_total: 24, top: 2 } });
  server.send(attempt, "one two\nthr");
  await server.until(() => results(attempt)?.bytes === 11, "the first part is counted");
  expect(results(attempt)).toEqual({
    ...{ bytes: 11, lines: 1, words: 3, complete: false },
    top: [
      ["one", 1],
      ["two", 1],
    ],
  });
  expect(attempt.vitals.at(-1)).toMatchObject({ bytesDone: 11n, bytesTotal: 24n });
  server.send(attempt, "ee two\n naïve", { eof: true });
  expect(await end(attempt)).toMatchObject({
    outcome: EndOutcome.SUCCEEDED,
    results: { bytes: 25, lines: 2, words: 5, complete: true, top: [["two", 2], expect.anything()] },
  });
  expect(attempt.text).toContain("the input had 25 bytes, more than the 24 that were announced\n");
  expect(attempt.lines.at(-1)).toBe("done: 25 bytes, 2 lines, 5 words");
});

test("wordcount does not call complete what has ended too early", async () => {
  const attempt = server.assign("a", "wordcount", { parameters: { bytes_total: 100 } });
  server.send(attempt, "one two", { eof: true });
  expect(await end(attempt)).toMatchObject({
    outcome: EndOutcome.FAILED,
    reason: "the input ended after 7 of 100 bytes",
    results: { bytes: 7, words: 2, complete: false },
  });
});

test("wordcount counts an empty input", async () => {
  const attempt = server.assign("a", "wordcount", {});
  server.send(attempt, "", { eof: true });
  expect(await end(attempt)).toMatchObject({ outcome: EndOutcome.SUCCEEDED, results: { bytes: 0, words: 0 } });
});

test("a next attempt of wordcount counts from 0, and says so", async () => {
  const attempt = server.assign("a", "wordcount", { attempt: 2, parameters: { bytes_total: 3 } });
  server.send(attempt, "new", { eof: true });
  expect(await end(attempt)).toMatchObject({ outcome: EndOutcome.SUCCEEDED, results: { bytes: 3, words: 1 } });
  expect(attempt.lines[0]).toMatch(/^attempt 2 counts from 0: its input of 3 bytes has to be sent again/);
});

test("wordcount stands while it waits for input, and counts on when it is resumed", async () => {
  const attempt = server.assign("a", "wordcount", {});
  server.send(attempt, "one ");
  await server.until(() => results(attempt)?.bytes === 4, "the first part is counted");
  const run = (mode: RunMode) => server.set(attempt, { case: "run", value: { mode } });
  const pause = run(RunMode.PAUSE);
  await server.until(() => attempt.report?.levers.some(({ generation }) => generation === pause) === true, "it stands");
  server.send(attempt, "two", { eof: true });
  await server.roundTrip();
  expect(attempt.report?.end).toBeUndefined();
  run(RunMode.RUN);
  expect(await end(attempt)).toMatchObject({ outcome: EndOutcome.SUCCEEDED, results: { bytes: 7, words: 2 } });
});
