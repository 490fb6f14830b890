import { setTimeout as delay } from "node:timers/promises";
import { JobState, RunMode, WorkerLinkState } from "@signalbox/protocol";
import { runProgram } from "../scripts/programs.ts";
import { expect, sha256, test } from "./fixtures.ts";

// They wait for clocks more than they work.
test.describe.configure({ mode: "parallel" });

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
