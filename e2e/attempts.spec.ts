import { join } from "node:path";
import { JobState } from "@signalbox/protocol";
import { runProgram, type Program } from "../scripts/programs.ts";
import { command } from "./command.ts";
import { expect, test, type Signalbox } from "./fixtures.ts";

test.setTimeout(120_000);

/** Starts a process of the worker whose jobs fail, or take too long. */
async function tryingWorker(signalbox: Signalbox, id: string, env: Record<string, string> = {}): Promise<Program> {
  const worker = runProgram("e2e/programs/trying-worker.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
    SIGNALBOX_WORKER_ID: id,
    SIGNALBOX_SPOOL_DIR: signalbox.spool,
    ...env,
  });
  await worker.printed(/started/);
  return worker;
}

async function start(signalbox: Signalbox, ...args: string[]): Promise<string> {
  await expect
    .poll(async () => (await signalbox.jobs.listJobTypes({})).types.map((each) => each.type?.name))
    .toContain(args[0]);
  const { stdout, stderr, code } = await command(signalbox, ["start", ...args, "--quiet"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.trim();
}

const waitsFor = async (signalbox: Signalbox, id: string) => (await signalbox.job(id)).vitals?.waitsFor;

test("a job that fails is tried again by its type's policy, from its checkpoint, and each attempt has its own log", async ({
  signalbox,
}) => {
  const worker = await tryingWorker(signalbox, "w1");
  try {
    const id = await start(signalbox, "tries");
    const done = await signalbox.state(id, JobState.SUCCEEDED);
    expect(done.attempts.map(({ end }) => end?.reason ?? "")).toEqual([
      expect.stringContaining("not before attempt 3"),
      expect.stringContaining("not before attempt 3"),
      "",
    ]);
    expect(done.tries).toBe(3);
    const waits = done.attempts.slice(1).map(({ assignedAtUs }, i) => {
      return Number(assignedAtUs - (done.attempts[i]?.endedAtUs ?? 0n)) / 1000;
    });
    expect(waits[0]).toBeGreaterThanOrEqual(200);
    expect(waits[1]).toBeGreaterThanOrEqual(400);
    for (const [attempt, saved] of ["", "1", "12"].entries())
      expect(String(await signalbox.text(id, attempt + 1))).toContain(`attempt ${attempt + 1} goes on from '${saved}'`);

    // One that says otherwise for itself fails with its second attempt, and a person may try it again.
    const twice = await start(signalbox, "tries", "--attempts", "2", "--back-off", "50ms");
    expect(await signalbox.state(twice, JobState.FAILED)).toMatchObject({ tries: 2 });
    const { stdout } = await command(signalbox, ["job", twice]);
    expect(stdout).toMatch(/Retries +2 of 2 attempts used; waits 0\.1 s, then 2 times longer each time/);
    expect((await command(signalbox, ["retry", twice])).code).toBe(0);
    expect(await signalbox.state(twice, JobState.SUCCEEDED)).toMatchObject({ tries: 1 });

    // With other parameters the attempt says so.
    const never = await start(signalbox, "tries", "succeed_at=90", "--attempts", "1");
    await signalbox.state(never, JobState.FAILED);
    expect((await command(signalbox, ["retry", never, "--set", "succeed_at=2"])).stderr).toBe("");
    const { attempts } = await signalbox.state(never, JobState.SUCCEEDED);
    expect(attempts.map(({ parametersChanged }) => parametersChanged)).toEqual([false, true]);
  } finally {
    await worker.kill("SIGKILL");
  }
});

test("a job waits for its type's limit until an operator raises it, and one that takes too long ends as failed with that reason", async ({
  signalbox,
}) => {
  const worker = await tryingWorker(signalbox, "w1");
  try {
    const long = await start(signalbox, "slow", "--deadline", "1h", "--label", "team=payments");
    const short = await start(signalbox, "slow");
    await expect.poll(() => waitsFor(signalbox, short)).toBe("type slow has its limit of 1 running · 1st in line");
    expect((await command(signalbox, ["job", long])).stdout).toMatch(
      /Deadline +1 h 00 m an attempt; .+ used; the clock stands while it is paused/,
    );
    const listed = await command(signalbox, ["limits", "--json"]);
    expect(listed.json).toMatchObject([{ limit: { type: "slow", mostRunning: 1 }, running: 1, waiting: 1 }]);
    const set = await command(signalbox, ["limits", "set", "type=slow", "2"]);
    expect(set.stdout).toMatch(/type=slow +2 +\d +\d +\S+/);
    expect(await signalbox.state(short, JobState.FAILED)).toMatchObject({ reason: "ran longer than 2 s" });
    expect((await command(signalbox, ["limits", "set", "label=team", "1"])).stdout).toMatch(/label=team +1 +1 +0/);
    const next = await start(signalbox, "slow", "--label", "team=payments");
    await expect
      .poll(() => waitsFor(signalbox, next))
      .toBe("label team=payments has its limit of 1 running · 1st in line");
    expect((await command(signalbox, ["limits", "lift", "type=slow"])).stdout).toMatch(
      /type=slow +1 +1 +1 +its worker/,
    );
    expect((await command(signalbox, ["limits", "set", "slow", "1"])).code).toBe(2);
  } finally {
    await worker.kill("SIGKILL");
  }
});

test("a job goes to a worker with the labels that it asks for, and waits until there is one", async ({ signalbox }) => {
  const plain = await tryingWorker(signalbox, "plain");
  let gpu: Program | undefined;
  try {
    const id = await start(signalbox, "tries", "succeed_at=1", "--selector", "gpu=a100");
    await expect
      .poll(() => waitsFor(signalbox, id))
      .toBe("no worker has the label gpu=a100 (1 worker offers the type)");
    expect((await command(signalbox, ["job", id])).stdout).toMatch(/Needs +a worker with gpu=a100/);
    gpu = await tryingWorker(signalbox, "gpu", { SIGNALBOX_TEST_GPU: "a100" });
    const done = await signalbox.state(id, JobState.SUCCEEDED);
    expect(done.attempts.map(({ workerId }) => workerId)).toEqual(["gpu"]);
  } finally {
    await plain.kill("SIGKILL");
    await gpu?.kill("SIGKILL");
  }
});
