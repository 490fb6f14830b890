import { setTimeout as delay } from "node:timers/promises";
import { JobState, RunMode, WorkerLinkState } from "@signalbox/protocol";
import { runProgram } from "../scripts/programs.ts";
import { expect, sha256, test } from "./fixtures.ts";
import { newestShown, readThrough } from "./shown-lines.ts";

test("a server that is killed at 20,000 lines a second loses and doubles no line, no job stops, and an open page comes back by itself", async ({
  signalbox,
  page,
}) => {
  test.setTimeout(180_000);
  const ids: string[] = [];
  for (let i = 1; i <= 4; i++) await signalbox.worker(`w${i}`);
  for (let i = 1; i <= 4; i++) ids.push(await signalbox.startJob("lines", { per_second: 5000 }));
  await signalbox.worker("watched");
  const watched = await signalbox.startJob("lines", { per_second: 500 }, "watched");
  for (const id of [...ids, watched]) await signalbox.state(id, JobState.RUNNING);
  await signalbox.open(page, `/jobs/${watched}`);
  for (let round = 0; round < 3; round++) {
    await expect
      .poll(async () => (await signalbox.job(ids[0] ?? "")).vitals?.linesPerSecond ?? 0)
      .toBeGreaterThan(3000);
    await signalbox.server.kill("SIGKILL");
    await expect(page.getByRole("alert")).toContainText(/No word from the server|not live/i);
    await signalbox.start();
    const lines = Number((await signalbox.job(watched)).vitals?.lines ?? 0n);
    await expect.poll(() => newestShown(page), { timeout: 30_000 }).toBeGreaterThan(lines + 500);
  }
  for (const id of [...ids, watched]) {
    await signalbox.run(id, RunMode.CANCEL);
    const { attempts } = await signalbox.state(id, JobState.CANCELED);
    expect(attempts.map(({ number, lostAtUs }) => [number, lostAtUs])).toEqual([[1, 0n]]);
    const stored = await signalbox.text(id);
    expect({ sha256: sha256(stored), bytes: stored.length }).toEqual(await signalbox.recorded(id));
    expect(stored.length).toBeGreaterThan(id === watched ? 1e5 : 1e6);
  }
  const stored = (await signalbox.text(watched)).toString().split("\n").slice(0, -1);
  const shown = await readThrough(page, stored.length);
  expect(shown.size).toBe(stored.length);
  expect(stored.filter((text, i) => shown.get(i + 1) !== text)).toEqual([]);
});

test("a worker that is killed is lost within 15 s with the reason, and its accepted lines are there", async ({
  signalbox,
}) => {
  const worker = await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 1000 });
  await expect.poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n).toBeGreaterThan(1000n);
  const accepted = (await signalbox.job(id)).vitals?.lines ?? 0n;
  await worker.kill("SIGKILL");
  const killedAt = Date.now();
  await expect
    .poll(async () => (await signalbox.job(id)).vitals?.link?.state, { timeout: 15_000 })
    .toBe(WorkerLinkState.SILENT);
  expect((await signalbox.job(id)).record.state).toBe(JobState.RUNNING);
  const record = await signalbox.state(id, JobState.LOST, 20_000);
  expect(Date.now() - killedAt).toBeLessThan(16_500);
  expect(record.reason).toBe("worker w1 has been silent for 15 s; its lease ran out");
  const lines = (await signalbox.text(id)).toString().split("\n").length - 1;
  expect(lines).toBeGreaterThanOrEqual(Number(accepted));
});

test("a server that stands still for 40 s loses no job", async ({ signalbox }) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 1000 });
  await signalbox.state(id, JobState.RUNNING);
  await signalbox.server.kill("SIGSTOP");
  // The one wait by the clock of this suite: the clock is what is tested.
  await delay(40_000);
  await signalbox.server.kill("SIGCONT");
  const before = (await signalbox.job(id)).vitals?.lines ?? 0n;
  await expect
    .poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n, { timeout: 30_000 })
    .toBeGreaterThan(before + 40_000n);
  const { record } = await signalbox.job(id);
  expect([record.state, record.attempts.length, record.attempts[0]?.lostAtUs]).toEqual([JobState.RUNNING, 1, 0n]);
  await signalbox.run(id, RunMode.CANCEL);
  await signalbox.state(id, JobState.CANCELED);
  expect(sha256(await signalbox.text(id))).toBe((await signalbox.recorded(id)).sha256);
});

test("a server that is told to stop drains, and what it had acknowledged is there when it comes back", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 5000 });
  await expect.poll(async () => (await signalbox.job(id)).vitals?.lines ?? 0n).toBeGreaterThan(5000n);
  const stoppedAt = Date.now();
  await signalbox.server.kill("SIGTERM");
  expect([signalbox.server.process.exitCode, Date.now() - stoppedAt < 10_000]).toEqual([0, true]);
  await signalbox.start();
  await signalbox.run(id, RunMode.CANCEL);
  await signalbox.state(id, JobState.CANCELED);
  expect(sha256(await signalbox.text(id))).toBe((await signalbox.recorded(id)).sha256);
});

test("a second server on the same folder is refused and says where the first one is", async ({ signalbox }) => {
  const second = runProgram("apps/server/src/main.ts", {
    SIGNALBOX_DATA: `${signalbox.folder}/data`,
    SIGNALBOX_PORT: "0",
    SIGNALBOX_WORKER_PORT: "0",
    SIGNALBOX_OPEN: "off",
  });
  await second.printed(/already runs with the data folder/);
  expect(second.output()).toContain(signalbox.origin);
  await expect.poll(() => second.process.exitCode).toBe(1);
});
