import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JobState } from "@signalbox/protocol";
import { freePorts, runProgram, type Program } from "../scripts/programs.ts";
import { begin, command, commandEnv, launcher, root } from "./command.ts";
import { expect, realLogs, sha256, test, type Signalbox } from "./fixtures.ts";

test.setTimeout(180_000);

const escape = "\u001b";

/** Starts the worker whose jobs take parameters and input. */
async function steeredWorker(signalbox: Signalbox): Promise<Program> {
  const worker = runProgram("e2e/programs/steered-worker.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
    SIGNALBOX_WORKER_ID: "steered",
  });
  await worker.printed(/started/);
  await offered(signalbox, "tuned");
  return worker;
}

/** Waits until a type is offered. */
async function offered(signalbox: Signalbox, type: string): Promise<void> {
  await expect
    .poll(async () => (await signalbox.jobs.listJobTypes({})).types.map((each) => each.type?.name))
    .toContain(type);
}

/** Starts a job by the command and returns its id. */
async function started(signalbox: Signalbox, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await command(signalbox, ["start", ...args, "--quiet"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.trim();
}

/** A job's log that prints the given writes. */
async function printed(signalbox: Signalbox, writes: (string | Uint8Array)[], name: string): Promise<string> {
  const parameters = { writes: writes.map((each) => Buffer.from(each).toString("base64")), pause_ms: 10 };
  const id = await signalbox.startJob("bytes", parameters, name);
  await signalbox.state(id, JobState.SUCCEEDED);
  return id;
}

test("jobs are started, listed, looked at, waited for and retried", async ({ signalbox }) => {
  await signalbox.worker("w1");
  await offered(signalbox, "items");
  const run = (...args: string[]) => command(signalbox, args);

  const begun = await run(
    "start",
    "items",
    "count=1000000",
    "--name",
    "東京 🚂",
    "--label",
    "team=rail",
    "--speed",
    "50",
  );
  expect(begun).toMatchObject({ code: 0, stderr: "" });
  const id = /^started 東京 🚂: (j-\w{10})\n$/.exec(begun.stdout)?.[1] ?? "";
  await signalbox.state(id, JobState.RUNNING);

  const listed = await run("jobs", "--state", "active");
  expect(listed.code).toBe(0);
  const [titles = "", row = ""] = listed.stdout.split("\n");
  expect(titles).toMatch(/^ID {12}NAME +TYPE +STATE +PROGRESS +RATE +LOG +WORKER +AGE$/);
  expect(row).toMatch(new RegExp(`^${id}  東京 🚂  items  Running  .* of 1\\.0 M items +.*w1 `));
  const [record] = (await run("jobs", "--type", "items", "--json")).json;
  expect(record).toMatchObject({ id, name: "東京 🚂", state: "JOB_STATE_RUNNING", labels: { team: "rail" } });
  expect(record?.["createdAtUs"]).toMatch(/^\d{16}$/);
  expect((await run("jobs", "--state", "failed")).stdout).toBe("");
  for (const [filter, finds] of [
    [["--label", "team=rail"], true],
    [["--label", "team", "--text", "東京"], true],
    [["--worker", "w1", "--type", "items"], true],
    [["--text", id.slice(2, 8)], true],
    [["--label", "team=road"], false],
    [["--text", "大阪"], false],
    [["--worker", "w2"], false],
  ] as const)
    expect((await run("jobs", ...filter, "--json")).json, filter.join(" ")).toHaveLength(finds ? 1 : 0);
  expect(await run("jobs", "--label", "=x")).toMatchObject({ code: 2 });

  for (const ref of [id, id.slice(0, 8), id.slice(2, 8), "東京 🚂"]) {
    const shown = await run("job", ref);
    expect(shown.stdout).toContain(`${id}\n  Name      東京 🚂\n  State     Running`);
    expect(shown.stdout).toMatch(/speed +50 \/s +50 \/s/);
    expect(shown.stdout).toMatch(/ATTEMPT +WORKER/);
  }
  expect((await run("job", id, "--json")).json[0]).toMatchObject({ id, vitals: { jobId: id } });

  const waited = await run("start", "fails", "--wait");
  expect(waited).toMatchObject({ code: 1 });
  expect(waited.stderr).toMatch(/^fails: failed after .*: the disk is made of cheese\n$/);
  const failed = /: (j-\w+)/.exec(waited.stdout)?.[1] ?? "";
  expect((await run("retry", failed)).stdout).toBe("fails: waits for a worker: attempt 2\n");
  await signalbox.state(failed, JobState.FAILED);
  expect((await signalbox.job(failed)).record.attempts).toHaveLength(2);

  const followed = await run("start", "items", "--parameters", '{"count": 3}', "--follow");
  expect(followed).toMatchObject({ code: 0, stdout: "item 1\nitem 2\nitem 3\n" });
  const stream = (await run("start", "items", "count=2", "--follow", "--json")).json;
  expect(stream.map((each) => each["state"] ?? each["message"])).toEqual([
    "JOB_STATE_QUEUED",
    "item 1",
    "item 2",
    "JOB_STATE_SUCCEEDED",
  ]);
  const file = join(signalbox.folder, "parameters.json");
  await writeFile(file, '{"count": 1}');
  expect((await run("start", "items", "--parameters", file, "--wait", "--json")).json[0]).toMatchObject({
    state: "JOB_STATE_SUCCEEDED",
  });
  expect(
    (await command(signalbox, ["start", "items", "--parameters", "-", "--wait"], { stdin: '{"count": 1}' })).code,
  ).toBe(0);

  expect((await run("types")).stdout).toMatch(/^items +1 +7\/8 +run speed log_level/m);
  expect((await run("types", "replay")).stdout).toMatch(/^file \* +string/m);
  expect((await run("types", "--json")).json.map((each) => (each["type"] as { name: string }).name)).toContain("bytes");
});

test("every lever moves, and what became of it is said and told by the exit code", async ({ signalbox }) => {
  const worker = await steeredWorker(signalbox);
  const run = (...args: string[]) => command(signalbox, args);
  const id = await started(signalbox, "tuned", "--speed", "100", "--name", "tuned");
  await signalbox.state(id, JobState.RUNNING);

  const said = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    return { code, text: `${stdout}${stderr}` };
  };
  expect(await said("pause", "tuned", "--reason", "look")).toEqual({
    code: 0,
    text: expect.stringMatching(/^tuned: paused after [\d.]+ m?s, at line [\d,]+\n$/) as unknown,
  });
  expect((await run("job", id)).stdout).toMatch(/ run pause .* applied .* look\n/);
  expect((await said("resume", id)).text).toMatch(/^tuned: resumed after/);
  expect(await said("pause", id, "--by-system")).toEqual({
    code: 1,
    text: expect.stringContaining("The system cannot stop jobs of type 'tuned'") as unknown,
  });
  expect((await said("speed", id, "20/s", "--for", "1h")).text).toMatch(
    /^tuned: speed 20 \/s for 1 h 00 m, then 100 \/s, after/,
  );
  expect((await said("speed", id, "30", "--for", "1h")).text).toMatch(/then 100 \/s/);
  expect((await said("speed", id, "unlimited")).text).toMatch(/^tuned: speed unlimited after/);
  for (const [given, level] of [
    ["warn", "warn"],
    ["0", "error"],
    ["1", "info"],
    ["2", "debug"],
  ] as const)
    expect((await said("level", id, given)).text).toMatch(new RegExp(`^tuned: log level ${level} after`));
  expect((await said("set", id, "limit=7", "note=12")).text).toMatch(/^tuned: parameters set after/);
  expect((await said("set", id, "limit=8")).code).toBe(0);
  expect(JSON.stringify((await run("job", id, "--json")).json[0])).toContain('"parameters":{"limit":8,"note":"12"}');
  expect((await said("set", id, "--unset", "note")).code).toBe(0);
  expect(await said("set", id, "limit=13")).toEqual({
    code: 1,
    text: "signalbox: tuned: parameters not changed: refused: thirteen brings bad luck\n",
  });
  expect((await said("set", id, "limit=0")).text).toContain("limit must be >= 1");
  expect(await said("priority", id, "5")).toMatchObject({ code: 1 });
  const [paused] = (await run("pause", id, "--json")).json;
  expect(paused).toMatchObject({ jobId: id, outcome: "applied", receipt: { state: "RECEIPT_STATE_APPLIED" } });
  expect((await run("resume", id, "--no-wait", "--json")).json[0]).toMatchObject({ outcome: "accepted" });

  const held = await started(signalbox, "tuned", "--paused", "--name", "held");
  expect((await said("priority", held, "-5")).text).toBe("held: priority -5 after 0 ms\n");
  expect(await said("level", held, "debug")).toEqual({
    code: 0,
    text: "held: accepted; the job waits in the queue; it holds from its start\n",
  });
  expect((await said("resume", held, "--no-wait")).text).toMatch(/^held: let go/);
  await signalbox.state(id, JobState.RUNNING);
  expect((await said("cancel", "tuned", held, "--grace", "5s")).text).toMatch(
    /^tuned: canceled after .*\nheld: canceled /,
  );
  expect((await said("pause", id)).text).toMatch(/^signalbox: tuned: not paused: The job has ended/);

  // A worker that answers nobody: the command stands.
  const stuck = await started(signalbox, "tuned", "--speed", "10", "--name", "stuck");
  await signalbox.state(stuck, JobState.RUNNING);
  await worker.kill("SIGSTOP");
  const pending = await said("pause", stuck, "--timeout", "1s");
  expect(pending.code).toBe(6);
  expect(pending.text).toMatch(/^stuck: accepted; its worker has not got it for 1\.\d s; it stands pending\n$/);
  const interrupted = begin(signalbox, ["speed", stuck, "5", "--timeout", "1m"]);
  await expect.poll(async () => (await signalbox.job(stuck)).record.receipts.length).toBe(2);
  interrupted.child.kill("SIGINT");
  expect(await interrupted.ended).toMatchObject({
    code: 130,
    stderr: expect.stringContaining("What was asked stands"),
  });
  await expect.poll(async () => (await run("withdraw", stuck)).code).toBe(0);
  expect(await said("give-up", stuck)).toMatchObject({ code: 1 });
  await worker.kill("SIGCONT");
  await signalbox.state(stuck, JobState.PAUSED);
  await worker.kill("SIGTERM");
});

test("logs are printed in parts, by level, with times, as JSON, and followed to the end over a killed server", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const run = (...args: string[]) => command(signalbox, args);
  const id = await printed(
    signalbox,
    [
      "INFO one\nWARN two\n",
      "ERROR three\n",
      "four\r\n",
      "ha",
      "lf\n",
      Uint8Array.of(0xc3),
      Uint8Array.of(0xbc, 0x0a, 0xff),
    ],
    "log",
  );
  expect((await run("logs", id)).stdout).toBe("INFO one\nWARN two\nERROR three\nfour\nhalf\nü\n\ufffd\n");
  expect((await run("logs", id, "--from", "2", "--lines", "2")).stdout).toBe("WARN two\nERROR three\n");
  expect((await run("logs", id, "--tail", "1")).stdout).toBe("\ufffd\n");
  expect((await run("logs", id, "--level", "warn")).stdout).toBe("WARN two\nERROR three\n");
  expect((await run("logs", id, "--level", "error", "--raw")).stdout).toBe("ERROR three\n");
  expect((await run("logs", id, "--timestamps", "--lines", "1")).stdout).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO one\n$/,
  );
  const lines = (await run("logs", id, "--json")).json;
  expect(lines[1]).toMatchObject({
    attempt: 1,
    line: "2",
    level: "LEVEL_WARN",
    source: "SOURCE_STDOUT",
    message: "WARN two",
    workerId: "w1",
  });
  expect(lines.at(-1)).toMatchObject({ bytes: "/w==" });
  expect(await run("logs", id, "--attempt", "2")).toMatchObject({ code: 3 });
  expect(await run("logs", id, "--from", "1", "--tail", "1")).toMatchObject({ code: 2 });

  const chatty = await signalbox.startJob("lines", { per_second: 500 }, "chatty");
  await signalbox.state(chatty, JobState.RUNNING);
  const follow = begin(signalbox, ["logs", "chatty", "-f", "--raw", "--exit-code"]);
  const numbered = begin(signalbox, ["logs", "chatty", "-f", "--json"]);
  for (const each of [follow, numbered]) await expect.poll(() => each.stdout().split("\n").length).toBeGreaterThan(500);
  await signalbox.server.kill("SIGKILL");
  await signalbox.start();
  await expect.poll(async () => (await run("cancel", "chatty")).code, { timeout: 30_000 }).toBe(0);
  const { code, stdout, stderr } = await follow.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^Not live: .*\nLive again after .*\n$/);
  expect(stdout).toBe((await signalbox.text(chatty)).toString());
  const numbers = (await numbered.ended).json.map((each) => Number(each["line"]));
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i + 1));
  expect(numbers.length).toBe(stdout.split("\n").length - 1);
  expect((await run("logs", "chatty", "-f", "--tail", "2")).stdout.split("\n")).toHaveLength(3);

  // A job that waits has no log; who follows it learns that it never will.
  const waits = await started(signalbox, "items", "--paused", "--name", "waits");
  expect(await run("logs", waits)).toMatchObject({
    code: 0,
    stdout: "",
    stderr: "waits has no log yet: no attempt has begun.\n",
  });
  const never = run("logs", waits, "-f");
  expect((await run("cancel", waits)).stdout).toBe("waits: canceled before it started\n");
  expect(await never).toMatchObject({ code: 0, stdout: "" });
  // Who follows a job follows its attempts.
  const twice = await signalbox.startJob("fails", {}, "twice");
  await signalbox.state(twice, JobState.FAILED);
  const [failed] = (await run("logs", twice, "-f", "--json")).json;
  expect(failed).toMatchObject({ attempt: 1, level: "LEVEL_ERROR" });
});

test("log text never commands a terminal, and its colours stay only there", async ({ signalbox }) => {
  await signalbox.worker("w1");
  const hostile = `${escape}[31mred${escape}[0m ${escape}]52;c;cm0=\u0007 ${escape}[2A ok\rover \u009b5m \u202eback\n`;
  const id = await printed(signalbox, [hostile], `${escape}]0;name\u0007`);
  const shown = "␛]52;c;cm0=␇ ␛[2A ok␍over <U+009B>5m <U+202E>back";
  expect((await command(signalbox, ["logs", id])).stdout).toBe(`red ${shown}\n`);
  expect((await command(signalbox, ["logs", id, "--raw"])).stdout).toBe(hostile);
  const inTerminal = (args: string, env: Record<string, string> = {}) =>
    spawnSync("script", ["-qec", `${launcher} ${args}`, "/dev/null"], {
      env: { ...commandEnv(signalbox), ...env },
      encoding: "utf8",
    }).stdout;
  expect(inTerminal(`logs ${id}`)).toBe(`${escape}[31mred${escape}[0m ${shown}${escape}[0m\r\n`);
  expect(inTerminal(`logs ${id}`, { NO_COLOR: "1" })).toBe(`red ${shown}\r\n`);
  expect(inTerminal(`logs ${id} --color never`)).toBe(`red ${shown}\r\n`);
  expect(inTerminal(`jobs`)).toContain(`${escape}[34mSucceeded`);
  expect(inTerminal(`jobs`)).toContain("␛]0;name␇");
  expect((await command(signalbox, ["jobs"])).stdout).not.toContain(escape);
  expect((await command(signalbox, ["jobs"], { env: { FORCE_COLOR: "1" } })).stdout).toContain(`${escape}[34m`);
  const json = (await command(signalbox, ["logs", id, "--json"])).stdout;
  expect(json).not.toMatch(/[^\P{Cc}\n]|\u202e/u);
  expect(JSON.parse(json)).toMatchObject({ message: hostile.slice(0, -1) });
});

test("workers are listed, watched, drained and let work again", async ({ signalbox }) => {
  const worker = await signalbox.worker("w1");
  await offered(signalbox, "items");
  const run = (...args: string[]) => command(signalbox, args);
  expect((await run("workers")).stdout).toMatch(/^WORKER +STATE +JOBS .*\nw1 +Connected +0\/8 +.*items lines/);
  expect((await run("workers", "--json")).json[0]).toMatchObject({
    workerId: "w1",
    slots: 8,
    vitals: { connected: true },
  });
  expect((await run("drain", "w1", "--reason", "disk swap")).stdout).toBe("w1: gets no more work; what runs goes on\n");
  expect((await run("workers")).stdout).toContain("Draining");
  expect((await run("undrain", "w1", "--json")).json[0]).toMatchObject({ workerId: "w1" });
  expect((await run("workers")).stdout).toContain("Connected");
  expect(await run("drain", "nobody")).toMatchObject({ code: 3 });

  const watching = begin(signalbox, ["workers", "--watch", "--json"]);
  const jobsWatching = begin(signalbox, ["jobs", "--watch"]);
  await expect.poll(watching.stdout).toContain('"workerId":"w1"');
  const id = await started(signalbox, "items", "count=1");
  await expect.poll(jobsWatching.stdout).toMatch(new RegExp(`${id} .*Succeeded`));
  const running = await started(signalbox, "items", "--speed", "10");
  await signalbox.state(running, JobState.RUNNING);
  expect((await run("drain", "w1", "--stop")).stdout).toBe("w1: gets no more work, releases what runs and exits\n");
  await expect.poll(watching.stdout, { timeout: 30_000 }).toContain('"leftAtUs"');
  await signalbox.state(running, JobState.QUEUED);
  for (const { child, ended } of [watching, jobsWatching]) {
    child.kill("SIGINT");
    expect((await ended).code).toBe(130);
  }
  await worker.kill("SIGKILL");
});

test("input goes into a running job, typed or piped, once and whole, also over a killed server", async ({
  signalbox,
}) => {
  const worker = await steeredWorker(signalbox);
  const id = await started(signalbox, "echo", "--name", "echo");
  await signalbox.state(id, JobState.RUNNING);
  expect(await command(signalbox, ["send", id, "hello"])).toMatchObject({ code: 0, stderr: "echo: 6 B sent\n" });
  expect((await command(signalbox, ["send", id, "a", "--no-newline", "--json"])).json).toEqual([
    { jobId: id, attempt: 1, nextOffset: "7" },
  ]);
  const piped = Buffer.from(Array.from({ length: 40_000 }, (_, i) => `line ${i} of what is piped\n`).join(""));
  const sending = begin(signalbox, ["send", id, "--eof"]);
  sending.child.stdin.write(piped.subarray(0, 300_000));
  await expect.poll(async () => Number((await signalbox.job(id)).vitals?.inputEnd)).toBe(300_007);
  await signalbox.server.kill("SIGKILL");
  sending.child.stdin.end(piped.subarray(300_000));
  await signalbox.start();
  const { code, stderr } = await sending.ended;
  expect(stderr).toMatch(/echo: 1\.\d MB sent, input ended/);
  expect(code).toBe(0);
  await signalbox.state(id, JobState.SUCCEEDED);
  const whole = `hello\na${piped.toString()}the input has ended\n`;
  expect((await command(signalbox, ["logs", id, "--raw"])).stdout === whole).toBe(true);
  expect(await command(signalbox, ["send", id, "late"])).toMatchObject({ code: 1 });
  await worker.kill("SIGTERM");
});

test("any program runs as a job: its output, its exit code and what is sent into it are its own", async ({
  signalbox,
}) => {
  const run = (...args: string[]) => command(signalbox, ["run", ...args]);
  const failed = await run(
    "--name",
    "both streams",
    "--label",
    "team=rail",
    "--",
    "sh",
    "-c",
    "echo out; echo err >&2; exit 3",
  );
  expect(failed).toMatchObject({ code: 3, stdout: "out\n", stderr: "err\n" });
  const [record] = (await command(signalbox, ["jobs", "--type", "run", "--json"])).json;
  expect(record).toMatchObject({ name: "both streams", state: "JOB_STATE_FAILED", labels: { team: "rail" } });
  expect((await command(signalbox, ["logs", "both streams"])).stdout.split("\n").sort()).toEqual(["", "err", "out"]);
  expect((await command(signalbox, ["logs", "both streams", "-f", "--exit-code", "-q"])).code).toBe(3);
  expect((await command(signalbox, ["run", "--", "wc", "-c"], { stdin: "12345" })).stdout.trim()).toBe("5");
  // What follows the program is the program's.
  expect(await run("--quiet", "echo", "--json", "--help")).toMatchObject({ code: 0, stdout: "--json --help\n" });
  expect((await run("no-such-program")).code).toBe(127);
  expect((await run("--", "sh", "-c", "kill -KILL $$")).code).toBe(137);
  expect((await run("--label", "wrong", "--", "true")).code).toBe(2);

  const away = await command(signalbox, ["run", "--", "echo", "hello"], {
    env: { SIGNALBOX_URL: "http://127.0.0.1:1" },
  });
  expect(away).toMatchObject({ code: 0, stdout: "hello\n" });
  expect(away.stderr).toContain("no link to http://127.0.0.1:1");

  const cat = begin(signalbox, ["run", "--name", "cat", "--keep-input-open", "--", "cat"]);
  cat.child.stdin.end("typed here\n");
  await expect.poll(async () => (await command(signalbox, ["send", "cat", "sent", "--eof"])).code).toBe(0);
  expect(await cat.ended).toMatchObject({ code: 0, stdout: "typed here\nsent\n" });
  const sleeps = begin(signalbox, ["run", "--name", "sleeps", "--", "sleep", "1000"]);
  await expect.poll(async () => (await command(signalbox, ["pause", "sleeps"])).code).toBe(0);
  expect((await command(signalbox, ["cancel", "sleeps"])).stdout).toMatch(/^sleeps: canceled after/);
  expect((await sleeps.ended).code).toBe(143);
});

test("every real log goes through `run -- cat` and comes back by `logs --raw` byte by byte", async ({ signalbox }) => {
  test.skip(!existsSync(realLogs), `no folder with real logs at ${realLogs}; name one in SIGNALBOX_REAL_LOGS`);
  const files = readdirSync(realLogs).filter((name) => name.endsWith(".log"));
  expect(files.length).toBeGreaterThan(0);
  for (const name of files) {
    const path = join(realLogs, name);
    const digest = (script: string, ...args: string[]) =>
      spawnSync("bash", ["-c", `set -o pipefail; ${script} | sha256sum`, launcher, ...args], {
        env: commandEnv(signalbox),
        encoding: "utf8",
      }).stdout.slice(0, 64);
    const printed = sha256(await readFile(path));
    expect({ name, here: digest('"$0" run --name "$1" -- cat "$2"', name, path) }).toEqual({ name, here: printed });
    expect({ name, there: digest('"$0" logs --raw "$1"', name) }).toEqual({ name, there: printed });
  }
});

test("login keeps a checked token for its owner alone, logout forgets it, link signs a browser in", async ({
  signalbox,
}) => {
  const token = (await readFile(join(signalbox.folder, "data", "token"), "utf8")).trim();
  const away = { SIGNALBOX_DATA: "" };
  const run = (args: string[], stdin = "", env: Record<string, string> = away) =>
    command(signalbox, args, { stdin, env });
  expect(await run(["login", signalbox.workerUrl, "--token-stdin"], "wrong\n")).toMatchObject({ code: 5 });
  const login = await run(["login", signalbox.workerUrl, "--token-stdin"], `${token}\n`);
  expect(login).toMatchObject({ code: 0, stderr: "" });
  expect(login.stdout).not.toContain(token);
  const kept = join(signalbox.folder, "config", "signalbox", "login.json");
  expect((await stat(kept)).mode & 0o777).toBe(0o600);
  expect(await run(["types"])).toMatchObject({ code: 0 });
  // The kept token goes to its own server only.
  expect(await run(["types", "--url", "http://127.0.0.1:1"])).toMatchObject({ code: 5 });
  expect(await run(["logout"])).toMatchObject({ code: 0, stdout: "Signed out.\n" });
  expect(await run(["types", "--url", signalbox.workerUrl])).toMatchObject({ code: 5 });
  expect(
    (await run(["login", signalbox.workerUrl, "--token-file", join(signalbox.folder, "data", "token"), "--json"])).json,
  ).toEqual([{ url: signalbox.workerUrl, file: kept }]);
  expect(await run(["link"])).toMatchObject({ code: 4 });
  for (const link of [await run(["link", "--from", signalbox.origin]), await run(["link"], "", {})]) {
    expect(link.code).toBe(0);
    const code = new URL(link.stdout.trim()).hash.slice("#code=".length);
    const session = await fetch(`${signalbox.origin}/auth/session`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: signalbox.origin },
      body: JSON.stringify({ code }),
    });
    expect(session.status).toBe(204);
  }
});

test("what goes wrong is said in a line or two, with a code for scripts", async ({ signalbox }) => {
  await signalbox.worker("w1");
  const run = (args: string[], env: Record<string, string> = {}) => command(signalbox, args, { env });
  const { port } = await notGrpc();
  const cases: [string[], Record<string, string>, number, string][] = [
    [
      ["jobs"],
      { SIGNALBOX_URL: "http://127.0.0.1:1" },
      4,
      "No Signalbox at http://127.0.0.1:1.\nStart one with: signalbox serve.",
    ],
    [["jobs"], { SIGNALBOX_URL: `http://127.0.0.1:${port}` }, 4, "does not speak gRPC"],
    [["jobs"], { SIGNALBOX_URL: signalbox.workerUrl.replace("http:", "https:") }, 4, "does not speak TLS."],
    [["jobs"], { SIGNALBOX_URL: "nonsense" }, 2, "must begin with http:// or https://"],
    [["jobs"], { SIGNALBOX_TOKEN: "wrong" }, 5, "does not accept the token from SIGNALBOX_TOKEN."],
    [["jobs"], { SIGNALBOX_TOKEN_FILE: "/nowhere" }, 5, "/nowhere cannot be read"],
    [["job", "nothing"], {}, 3, "No job has the id or name 'nothing'."],
    [["types", "nothing"], {}, 3, "No connected worker offers the job type 'nothing'."],
    [["start", "nothing"], {}, 1, "Not started: "],
    [["start", "items", "count=many"], {}, 2, "'count' takes a whole number, not 'many'."],
    [["start"], {}, 2, "missing required argument 'type'\nTry --help."],
    [["stat", "items"], {}, 2, "Did you mean start?"],
    [["jobs", "--wrong"], {}, 2, "unknown option '--wrong'"],
    [["speed", "x", "0"], {}, 2, "'0' is no speed."],
    [["cancel", "x", "--grace", "10"], {}, 2, "'10' is no duration."],
    [["level", "x", "loud"], {}, 2, "'loud' is no level."],
    [["logs", "x", "--raw", "--json"], {}, 2, "--raw prints the exact bytes"],
  ];
  for (const [args, env, code, said] of cases) {
    const { stderr, ...ended } = await run(args, env);
    expect({ args, code: ended.code, stdout: ended.stdout }).toEqual({ args, code, stdout: "" });
    expect(stderr).toContain(said);
    expect(stderr.split("\n").length, stderr).toBeLessThanOrEqual(4);
  }
  expect((await run(["jobs", "--verbose"], { SIGNALBOX_URL: "http://127.0.0.1:1" })).stderr).toContain("ECONNREFUSED");

  const ids = [
    await started(signalbox, "items", "--paused", "--name", "same"),
    await started(signalbox, "items", "--paused", "--name", "same"),
  ];
  const several = await run(["pause", "same"]);
  expect(several.code).toBe(3);
  expect(several.stderr).toContain("2 jobs are called 'same': give an id.");
  for (const id of ids) expect(several.stderr).toContain(`${id}  Waiting     same`);
  const both = await run(["pause", ids[0] ?? "", "nothing"]);
  expect({ code: both.code, stdout: both.stdout }).toEqual({ code: 3, stdout: "" });

  // Whoever stops reading ends the command without a word.
  const file = join(signalbox.folder, "long");
  await writeFile(file, `${"x".repeat(1000)}\n`.repeat(2000));
  await signalbox.state(await signalbox.startJob("replay", { file }, "long"), JobState.SUCCEEDED);
  const head = spawnSync("bash", ["-c", `set -o pipefail; ${launcher} logs long --raw | head -c 5`], {
    env: commandEnv(signalbox),
    encoding: "utf8",
  });
  expect(head).toMatchObject({ stdout: "xxxxx", stderr: "", status: 141 });
});

/** A server that speaks HTTP/1 only. */
async function notGrpc(): Promise<AddressInfo> {
  const server = createServer((_request, response) => response.end("hello")).listen(0, "127.0.0.1");
  server.unref();
  await once(server, "listening");
  return server.address() as AddressInfo;
}

test("shells complete verbs, options, and what the server knows", async ({ signalbox }) => {
  await signalbox.worker("w1");
  await offered(signalbox, "items");
  const id = await started(signalbox, "items", "--paused", "--name", "held one");
  const complete = async (...words: string[]) =>
    (await command(signalbox, ["complete", "--", ...words])).stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split("\t")[0]);
  expect(await complete("l")).toEqual(["logs", "level", "limits", "login", "logout", "link"]);
  expect(await complete("logs", "--ra")).toEqual(["--raw"]);
  expect(await complete("logs", "--level", "w")).toEqual(["warn"]);
  expect(await complete("jobs", "--state", "running", "pa")).toEqual(["paused"]);
  expect(await complete("pause", id.slice(0, 4))).toEqual([id]);
  expect(await complete("logs", id, "")).toEqual([]);
  expect(await complete("start", "it")).toEqual(["items"]);
  expect(await complete("start", "items", "c")).toEqual(["count="]);
  expect(await complete("set", id, "c")).toEqual(["count="]);
  expect(await complete("drain", "")).toEqual(["w1"]);
  expect(await complete("completion", "")).toEqual(["bash", "zsh", "fish"]);
  expect((await command(signalbox, ["complete", "--", "pause", ""])).stdout).toBe(`${id}\theld one\n`);
  const away = await command(signalbox, ["complete", "--", "pause", ""], {
    env: { SIGNALBOX_URL: "http://127.0.0.1:1" },
  });
  expect(away).toMatchObject({ code: 0, stdout: "", stderr: "" });

  await mkdir(join(signalbox.folder, "bin"));
  await symlink(launcher, join(signalbox.folder, "bin", "signalbox"));
  const env = commandEnv(signalbox);
  const inShell = (shell: string, script: string) =>
    spawnSync(shell, ["-c", script], {
      env: { ...env, PATH: `${join(signalbox.folder, "bin")}:${env["PATH"]}` },
      encoding: "utf8",
    });
  const bash = inShell(
    "bash",
    `source <(signalbox completion bash)
     COMP_WORDS=(signalbox pause ${id.slice(0, 5)}) COMP_CWORD=2
     _signalbox && echo "\${COMPREPLY[@]}"`,
  );
  expect(bash).toMatchObject({ stdout: `${id}\n`, stderr: "" });
  // Where the other shells are installed, they take their scripts.
  for (const [shell, check] of [
    ["zsh", "autoload -U compinit; compinit -u; source <(signalbox completion zsh); whence -w _signalbox"],
    ["fish", `signalbox completion fish | source; complete -C 'signalbox pause ${id.slice(0, 5)}'`],
  ] as const) {
    if (spawnSync(shell, ["-c", "true"]).error) continue;
    expect(inShell(shell, check)).toMatchObject({ status: 0, stderr: "" });
  }
});

/** Verbs as the help lists them. */
test("the command of a clone runs from anywhere, says how to install it, starts the server, and names an old Node", async ({
  signalbox,
}) => {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-launch-"));
  await symlink(launcher, join(folder, "a"));
  await symlink("a", join(folder, "b"));
  const { version } = JSON.parse(await readFile(join(root, "packages/cli/package.json"), "utf8")) as {
    version: string;
  };
  for (const name of ["a", "b"])
    expect(spawnSync(join(folder, name), ["--version"], { cwd: "/", encoding: "utf8" }).stdout).toBe(`${version}\n`);
  await copyFile(launcher, join(folder, "signalbox"));
  expect(spawnSync("./signalbox", ["jobs"], { cwd: folder, encoding: "utf8" })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("npm start"),
  });
  const old = spawnSync(
    process.execPath,
    [
      "-e",
      "Object.defineProperty(process.versions, 'node', { value: '20.11.1' }); require(process.argv[1])",
      join(root, "packages/cli/bin/signalbox.cjs"),
    ],
    { encoding: "utf8" },
  );
  expect(old).toMatchObject({
    status: 1,
    stdout: "",
    stderr: expect.stringMatching(/^signalbox needs Node 22\.\d+ or newer, and this is Node 20\.11\.1\.\n$/),
  });

  const help = await command(signalbox, ["help"]);
  for (const verb of "serve run start jobs job logs pause resume cancel speed level priority set retry send workers drain undrain types login logout link completion".split(
    " ",
  )) {
    expect(help.stdout).toMatch(new RegExp(`^  ${verb} `, "m"));
    if (verb !== "serve")
      expect((await command(signalbox, ["help", verb])).stdout).toContain(`Usage: signalbox ${verb} `);
  }
  expect(help.stdout).toContain("Exit codes:");

  expect((await command(signalbox, ["serve", "--help"])).stdout).toContain("--worker-port");
  const [port = 0, workerPort = 0] = await freePorts(2);
  const data = join(folder, "data");
  const server = spawn(
    launcher,
    ["serve", "--data", data, "--port", String(port), "--worker-port", String(workerPort), "--no-open"],
    {
      env: { ...commandEnv(signalbox), SIGNALBOX_BUILT_IN_WORKER: "off" },
    },
  );
  await expect
    .poll(async () => (await command(signalbox, ["jobs"], { env: { SIGNALBOX_DATA: data } })).code, { timeout: 30_000 })
    .toBe(0);
  // What was started is the server itself: whoever kills it, by whatever signal, leaves nothing behind.
  expect(JSON.parse(await readFile(join(data, "server.json"), "utf8"))).toMatchObject({ pid: server.pid });
  server.kill("SIGTERM");
  expect(await once(server, "exit")).toEqual([0, null]);
  await rm(folder, { recursive: true });
});
