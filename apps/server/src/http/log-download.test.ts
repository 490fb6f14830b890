import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { logFileName } from "./log-download.ts";
import { ask, bearer, startOperatorListener } from "./test-listeners.ts";

const path = "/jobs/job-1/attempts/2/log";

test("a log comes as a file, byte for byte, and never as something that a browser would run", async () => {
  const asked: unknown[] = [];
  const { url } = await startOperatorListener({
    async *readLog(jobId, attempt, _signal, late) {
      asked.push([jobId, attempt, late]);
      yield Buffer.from("<script>1</script>\r\n");
      yield Buffer.from([0, 10]);
    },
  });
  const answer = await ask(url, path, { headers: bearer });
  expect(answer.status).toBe(200);
  expect(answer.body).toBe("<script>1</script>\r\n\0\n");
  expect(answer.headers).toMatchObject({
    "content-type": "text/plain; charset=utf-8",
    "content-disposition": 'attachment; filename="job-1-2.log"',
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  const late = await ask(url, `${path}/late`, { headers: bearer });
  expect(late.headers["content-disposition"]).toBe('attachment; filename="job-1-2-late.log"');
  expect(asked).toEqual([
    ["job-1", 2, false],
    ["job-1", 2, true],
  ]);
});

test("a log needs a login, and an unknown one is not found", async () => {
  const { url } = await startOperatorListener({ readLog: async () => undefined });
  expect((await ask(url, path)).status).toBe(401);
  expect((await ask(url, `${path}/late`)).status).toBe(401);
  expect((await ask(url, path, { headers: bearer })).status).toBe(404);
});

test.each([
  "/jobs/a/attempts/0/log",
  "/jobs/a/attempts/-1/log",
  "/jobs/a/attempts/1e9/log",
  "/jobs/a%2Fb/attempts/1/log",
])("%s is not found without asking the store", async (wrong) => {
  let asked = false;
  const { url } = await startOperatorListener({
    readLog: () => {
      asked = true;
      return undefined;
    },
  });
  expect((await ask(url, wrong, { headers: bearer })).status).toBe(404);
  expect(asked).toBe(false);
});

test("a failure in the middle breaks the transfer off, so that half a log is never taken for a whole one", async () => {
  const { url } = await startOperatorListener({
    async *readLog() {
      yield Buffer.from("half");
      throw new Error("disk on fire");
    },
  });
  await expect(ask(url, path, { headers: bearer })).rejects.toThrow("aborted");
});

test("a log is read as fast as the client takes it, and no further when it leaves", async () => {
  let pulled = 0;
  let left!: () => void;
  const ended = new Promise<void>((resolve) => (left = resolve));
  const { listener } = await startOperatorListener({
    async *readLog(_jobId, _attempt, signal) {
      signal.addEventListener("abort", left);
      for (; pulled < 100_000; pulled++) yield Buffer.alloc(64 * 1024);
    },
  });
  const socket = connect(listener.port, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${bearer.authorization}\r\n\r\n`);
  await once(socket, "readable");
  // Nothing is taken: the source comes to rest. Where it rests is a matter of socket buffers, some megabytes.
  let before = -1;
  await expect
    .poll(
      () => {
        const rests = pulled === before;
        before = pulled;
        return rests;
      },
      { interval: 100 },
    )
    .toBe(true);
  expect(pulled).toBeLessThan(1_000);
  socket.destroy();
  await ended;
});

test("a file name is plain, whatever a job is called", () => {
  expect(logFileName('../a"b\r\n:é', 3)).toBe("-a-b--3.log");
  expect(logFileName("x".repeat(500), 1)).toHaveLength(106);
});
