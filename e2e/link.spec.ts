import { JobState, RunMode } from "@signalbox/protocol";
import { freePorts } from "../scripts/programs.ts";
import { begin, command } from "./command.ts";
import { FaultProxy } from "./faults/proxy.ts";
import { expect, sha256, test } from "./fixtures.ts";

test("signalbox run says once that the link is lost and why, and once that it is back; with --quiet it says nothing of it", async ({
  signalbox,
}) => {
  test.setTimeout(120_000);
  const loud = begin(signalbox, ["run", "--", "sh", "-c", "echo begun; sleep 1000"]);
  const quiet = begin(signalbox, ["run", "--quiet", "--", "sh", "-c", "echo begun; sleep 1000"]);
  await expect
    .poll(async () => (await signalbox.jobs.listJobs({})).jobs.filter(({ state }) => state === JobState.RUNNING).length)
    .toBe(2);
  await signalbox.server.kill("SIGKILL");
  await expect
    .poll(loud.stderr)
    .toMatch(
      /^signalbox: the link to 127\.0\.0\.1:\d+ is lost: .+; the next try is (at once|in [\d.]+ s), and lines wait here$/m,
    );
  await signalbox.start();
  await expect
    .poll(loud.stderr, { timeout: 30_000 })
    .toMatch(/^signalbox: the link to 127\.0\.0\.1:\d+ is open after [\d.]+ s$/m);
  for (const { child, ended } of [loud, quiet]) {
    child.kill("SIGTERM");
    expect((await ended).code).toBe(143);
  }
  expect(loud.stderr().match(/the link to/g)).toHaveLength(2);
  expect(quiet.stderr()).toBe("");
});

test("a worker that is told to stop while its server restarts delivers every line, gives its job back and leaves", async ({
  signalbox,
}) => {
  test.setTimeout(120_000);
  const worker = await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 2000 });
  await expect.poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n).toBeGreaterThan(2000n);
  await signalbox.server.kill("SIGKILL");
  const stopped = worker.kill("SIGTERM");
  await signalbox.start();
  await stopped;
  expect(worker.process.exitCode).toBe(0);
  const { attempts } = await signalbox.state(id, JobState.QUEUED);
  expect(attempts).toMatchObject([{ workerId: "w1", lostAtUs: 0n }]);
  expect(sha256(await signalbox.text(id))).toBe((await signalbox.recorded(id)).sha256);
  expect((await signalbox.jobs.listWorkers({})).workers[0]?.leftAtUs).not.toBe(0n);
});

test("a connection that is dead although nobody has closed it is found by both sides within 10 s, and no line is missing afterwards", async ({
  signalbox,
}) => {
  test.setTimeout(120_000);
  const proxy = await FaultProxy.open(Number(new URL(signalbox.workerUrl).port));
  try {
    const worker = await signalbox.worker("w1", { SIGNALBOX_URL: `http://127.0.0.1:${proxy.port}` });
    const id = await signalbox.startJob("lines", { per_second: 200 });
    await expect.poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n).toBeGreaterThan(100n);
    const isConnected = async () => (await signalbox.jobs.listWorkers({})).vitals[0]?.connected;
    await proxy.set({ mode: "half-open" });
    const begin = performance.now();
    const after = (promise: Promise<unknown>) => promise.then(() => performance.now() - begin);
    const both = await Promise.all([
      after(worker.printed(/is lost: (no answer to a ping|no word from the server)/)),
      after(expect.poll(isConnected, { timeout: 30_000, intervals: [100] }).toBe(false)),
    ]);
    expect(Math.max(...both)).toBeLessThan(10_000);
    await proxy.set({ mode: "pass" });
    await expect.poll(isConnected, { timeout: 30_000 }).toBe(true);
    await signalbox.run(id, RunMode.CANCEL);
    const { attempts } = await signalbox.state(id, JobState.CANCELED);
    expect(attempts).toMatchObject([{ number: 1, lostAtUs: 0n }]);
    expect(sha256(await signalbox.text(id))).toBe((await signalbox.recorded(id)).sha256);
  } finally {
    proxy.close();
  }
});

test("workers and commands find their server behind whichever of several addresses answers, and the room shows which, and what broke", async ({
  signalbox,
}) => {
  const [dead = 0] = await freePorts(1);
  const { port } = new URL(signalbox.workerUrl);
  const SIGNALBOX_URL = `http://127.0.0.1:${dead},http://localhost:${port}`;
  await signalbox.worker("w1", { SIGNALBOX_URL });
  const workers = async () => (await command(signalbox, ["workers", "--wide"], { env: { SIGNALBOX_URL } })).stdout;
  await expect.poll(workers).toMatch(/^w1 +Connected .*\blocalhost:\d+/m);
  await signalbox.server.kill("SIGKILL");
  await signalbox.start();
  const link = async () => (await signalbox.jobs.listWorkers({})).vitals[0]?.link;
  await expect.poll(async () => (await link())?.reconnects, { timeout: 30_000 }).toBe(1);
  expect((await link())?.lastBreak).not.toBe("");
  expect((await workers()).split("\n")[0]).toMatch(/BREAKS +ADDRESS +LAST BREAK/);

  const wrong = await command(signalbox, ["workers"], { env: { SIGNALBOX_URL: `http://localhost:${port},localhost` } });
  expect(wrong).toMatchObject({ code: 2, stdout: "" });
  expect(wrong.stderr).toContain('The server\'s address is "localhost": it must begin with http:// or https://');
  const none = await command(signalbox, ["workers", "--url", `http://127.0.0.1:${dead},http://127.0.0.2:${dead}`]);
  expect(none.code).toBe(4);
  expect(none.stderr).toContain(`No Signalbox at http://127.0.0.1:${dead},http://127.0.0.2:${dead}`);
});
