import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { JobState, RunMode } from "@signalbox/protocol";
import { expect, realLogs, sha256, test, type Signalbox } from "./fixtures.ts";
import { Supervised } from "./supervised.ts";

/** Starts a command under `signalbox run` and ends it with the test, whatever has become of it. */
function run(
  signalbox: Signalbox,
  words: readonly string[],
  options: ConstructorParameters<typeof Supervised>[2] = {},
) {
  const supervised = new Supervised(signalbox, words, options);
  running.add(supervised);
  return supervised;
}

const running = new Set<Supervised>();
test.afterEach(async () => {
  for (const supervised of running) await supervised.kill();
  running.clear();
});

test("a command is a job from its first moment to its exit code", async ({ signalbox }) => {
  const supervised = run(signalbox, ["sh", "-c", "echo out; echo err >&2; exit 3"], {
    flags: ["--label", "team=rail"],
  });
  expect(await supervised.code).toBe(3);
  const { record } = await signalbox.job(await supervised.jobId());
  expect(record).toMatchObject({
    type: "run",
    name: 'sh -c "echo out; echo err >&2; exit 3"',
    state: JobState.FAILED,
    labels: { team: "rail" },
  });
  const [attempt] = record.attempts;
  expect(attempt?.end).toMatchObject({ exitCode: 3, reason: "exit code 3" });
  expect(attempt?.metadata).toMatchObject({ pid: String(supervised.pid), cwd: process.cwd() });
  expect((await signalbox.text(record.id)).toString().split("\n").sort()).toEqual(["", "err", "out"]);
});

test("a command starts while the server is away, and its log is whole when the server comes", async ({ signalbox }) => {
  await signalbox.server.kill("SIGKILL");
  const supervised = run(signalbox, ["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; read last; echo $last"], {
    input: "pipe",
  });
  await expect.poll(() => supervised.stdout()).toContain("line 5");
  await signalbox.start();
  const id = await supervised.jobId();
  supervised.write("the end\n", { eof: true });
  expect(await supervised.code).toBe(0);
  expect((await signalbox.job(id)).record.state).toBe(JobState.SUCCEEDED);
  expect((await signalbox.text(id)).toString()).toBe("line 1\nline 2\nline 3\nline 4\nline 5\nthe end\n");
});

test("a command that was started before there was a data folder finds its server on whatever port that comes up", async ({
  signalbox,
}) => {
  const data = join(signalbox.folder, "later");
  const supervised = run(signalbox, ["sh", "-c", "echo first; read last; echo $last"], {
    input: "pipe",
    env: { SIGNALBOX_DATA: data, SIGNALBOX_URL: "", SIGNALBOX_TOKEN_FILE: "" },
  });
  await expect.poll(() => supervised.stderr()).toMatch(/no link to http:\/\/127\.0\.0\.1:9090/);
  await symlink(join(signalbox.folder, "data"), data);
  const id = await supervised.jobId();
  supervised.write("last\n", { eof: true });
  expect(await supervised.code).toBe(0);
  expect((await signalbox.text(id)).toString()).toBe("first\nlast\n");
});

test("a prompt is live in the room, and what is sent from there is its input", async ({ signalbox }) => {
  const supervised = run(signalbox, ["bash", "-c", `printf 'your name: '; read name; echo "hello $name"; cat`], {
    flags: ["--keep-input-open"],
  });
  const id = await supervised.jobId();
  await expect.poll(async () => (await signalbox.text(id)).toString()).toBe("your name: ");
  await signalbox.jobs.sendInput({ jobId: id, data: Buffer.from("Ada\n") });
  await expect.poll(() => supervised.stdout()).toBe("your name: hello Ada\n");
  await signalbox.jobs.sendInput({ jobId: id, data: Buffer.from("bye\n"), eof: true });
  expect(await supervised.code).toBe(0);
  expect((await signalbox.text(id)).toString()).toBe("your name: hello Ada\nbye\n");
});

test("pause from the room really stops a command, resume lets it go on, cancel ends all of it", async ({
  signalbox,
}) => {
  const supervised = run(signalbox, [
    "bash",
    "-c",
    `setsid bash -c 'trap "" TERM; echo away=$$; while :; do :; done' & echo own=$$; while :; do :; done`,
  ]);
  const id = await supervised.jobId();
  const pids = [await supervised.printedPid("own"), await supervised.printedPid("away")];
  await signalbox.run(id, RunMode.PAUSE);
  await signalbox.state(id, JobState.PAUSED);
  const stood = pids.map(usedTicks);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(pids.map(usedTicks)).toEqual(stood);
  await signalbox.run(id, RunMode.RUN);
  await signalbox.state(id, JobState.RUNNING);
  await expect.poll(() => pids.every((pid, i) => usedTicks(pid) > (stood[i] ?? 0))).toBe(true);
  await signalbox.run(id, RunMode.CANCEL);
  const record = await signalbox.state(id, JobState.CANCELED);
  expect(pids.filter(runs)).toEqual([]);
  expect(record.attempts[0]?.end?.signal).toBe("SIGTERM");
  expect(await supervised.code).toBe(143);
});

/** State letter and processor time, in ticks, of a process; undefined if there is none. */
function processOf(pid: number): { state: string; ticks: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return undefined;
  }
}

const usedTicks = (pid: number) => processOf(pid)?.ticks ?? 0;
/** What waits to be reaped runs no more. */
const runs = (pid: number) => !["Z", undefined].includes(processOf(pid)?.state);

test("`yes` is held up by the server, and the supervisor's memory stays flat, with the server there and away", async ({
  signalbox,
}) => {
  test.setTimeout(180_000);
  const supervised = run(signalbox, ["yes", "all work and no play makes a dull log"], {
    flags: ["--spool-size", "64M"],
    echo: "dropped",
  });
  const id = await supervised.jobId();
  const lines = async () => Number((await signalbox.job(id)).vitals?.lines ?? 0n);
  await expect.poll(lines, { timeout: 60_000 }).toBeGreaterThan(1_000_000);
  const there = await supervised.residentMegabytes(4000);
  expect(there.growth).toBeLessThan(40);
  expect(there.most).toBeLessThan(400);
  await signalbox.server.kill("SIGSTOP");
  await expect.poll(() => supervised.stderr(), { timeout: 60_000 }).toContain("the command waits for it");
  const away = await supervised.residentMegabytes(4000);
  expect(away.growth).toBeLessThan(10);
  expect(away.most).toBeLessThan(400);
  await signalbox.server.kill("SIGCONT");
  const before = await lines();
  await expect.poll(lines, { timeout: 60_000 }).toBeGreaterThan(before + 100_000);
  await signalbox.run(id, RunMode.CANCEL);
  expect(await supervised.code).toBe(143);
});

test("when the supervisor is killed what it ran is gone, and what the server had accepted is there", async ({
  signalbox,
}) => {
  const supervised = run(signalbox, [
    "bash",
    "-c",
    `trap "" TERM; setsid bash -c 'trap "" TERM; echo away=$$; while :; do sleep 0.1; done' & echo own=$$; while :; do sleep 0.1; done`,
  ]);
  const id = await supervised.jobId();
  const pids = [await supervised.printedPid("own"), await supervised.printedPid("away")];
  await expect.poll(async () => (await signalbox.text(id)).toString()).toMatch(/own=.*away=|away=.*\nown=/s);
  await supervised.kill();
  await expect.poll(() => pids.filter(runs), { timeout: 30_000 }).toEqual([]);
  expect((await signalbox.text(id)).toString()).toContain(`own=${pids[0]}\n`);
});

test("a file piped through `run -- cat` comes out of the pipe and of the room as it went in", async ({ signalbox }) => {
  test.setTimeout(180_000);
  test.skip(!existsSync(realLogs), `no folder with real logs at ${realLogs}; name one in SIGNALBOX_REAL_LOGS`);
  const files = readdirSync(realLogs).filter((name) => name.endsWith(".log"));
  expect(files.length).toBeGreaterThan(0);
  for (const [index, name] of files.entries()) {
    const path = join(realLogs, name);
    const file = readFileSync(path);
    const supervised =
      index % 2 === 0
        ? run(signalbox, ["cat", path], { flags: ["--name", name] })
        : run(signalbox, ["cat"], { flags: ["--name", name], input: path });
    expect(await supervised.code).toBe(0);
    const stored = await signalbox.text(await supervised.jobId());
    expect({ name, sha256: sha256(stored) }).toEqual({ name, sha256: sha256(file) });
    expect({ name, sha256: sha256(supervised.bytes()) }).toEqual({ name, sha256: sha256(file) });
  }
});

test("tar, a progress bar, a Python traceback and `npm test` run as they do without", async ({ signalbox }) => {
  test.setTimeout(180_000);
  const work = join(signalbox.folder, "work");
  await mkdir(join(work, "package"), { recursive: true });
  for (let i = 0; i < 50; i++) await writeFile(join(work, "package", `file-${i}.txt`), "x".repeat(1000));

  const tar = run(signalbox, ["tar", "czvf", join(work, "all.tgz"), "-C", work, "package"]);
  expect(await tar.code).toBe(0);
  expect((await signalbox.text(await tar.jobId())).toString().split("\n")).toContain("package/file-49.txt");

  const bar = run(signalbox, [
    "bash",
    "-c",
    String.raw`for i in $(seq 0 10 100); do printf 'frame=%5d fps= 25 q=28.0 size=%8dKiB progress=%3d%% speed=1.0x\r' $i $((i*64)) $i >&2; sleep 0.1; done; echo >&2`,
  ]);
  const barId = await bar.jobId();
  await expect.poll(async () => Number((await signalbox.job(barId)).vitals?.itemsDone ?? 0n)).toBeGreaterThan(0);
  expect(await bar.code).toBe(0);
  expect((await signalbox.job(barId)).vitals).toMatchObject({ itemsDone: 100n, itemsTotal: 100n });
  expect((await signalbox.text(barId)).toString().split("\r")).toHaveLength(12);

  await writeFile(
    join(work, "fails.py"),
    "print('before')\ndef f(): raise ValueError('the disk is made of cheese')\nf()\n",
  );
  const python = run(signalbox, ["python3", join(work, "fails.py")]);
  expect(await python.code).toBe(1);
  const traceback = (await signalbox.text(await python.jobId())).toString();
  expect(traceback).toContain("Traceback (most recent call last)");
  expect(traceback).toContain("ValueError: the disk is made of cheese");

  const tested = join(work, "tested");
  await mkdir(tested);
  await writeFile(
    join(tested, "package.json"),
    JSON.stringify({ name: "tested", version: "1.0.0", scripts: { test: "node --test" } }),
  );
  await writeFile(
    join(tested, "a.test.js"),
    "const test = require('node:test'); test('one', () => {}); test('two', () => { throw new Error('no'); });",
  );
  const npm = run(signalbox, ["npm", "test"], { cwd: tested });
  expect(await npm.code).toBe(1);
  const report = (await signalbox.text(await npm.jobId())).toString();
  expect(report).toContain("pass 1");
  expect(report).toContain("fail 1");
});

test("a worker's name that a run has used is forgotten with it", async ({ signalbox }) => {
  const supervised = run(signalbox, ["sh", "-c", "read x"], { input: "pipe" });
  await supervised.jobId();
  await expect.poll(async () => (await signalbox.jobs.listWorkers({})).workers).toHaveLength(1);
  const [worker] = (await signalbox.jobs.listWorkers({})).workers;
  expect(worker).toMatchObject({ transient: true, slots: 1, jobTypes: ["run"] });
  supervised.write("\n", { eof: true });
  expect(await supervised.code).toBe(0);
  await expect.poll(async () => (await signalbox.jobs.listWorkers({})).workers).toHaveLength(0);
});

test.describe("the built-in worker", () => {
  test.use({ env: { SIGNALBOX_BUILT_IN_WORKER: "on", SIGNALBOX_FIRST_JOB: "off", SIGNALBOX_BUILT_IN_COMMANDS: "on" } });

  test("runs commands when it is told to offer them", async ({ signalbox }) => {
    const id = await signalbox.startJob("command", { command: ["sh", "-c", "echo from the form; pwd"], cwd: "/tmp" });
    await signalbox.state(id, JobState.SUCCEEDED);
    expect((await signalbox.text(id)).toString()).toBe("from the form\n/tmp\n");
  });
});
