import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { JobState, Level, RunMode } from "@signalbox/protocol";
import { setting } from "@signalbox/protocol/job-state";
import { runProgram, type Program } from "../scripts/programs.ts";
import { begin, command, commandEnv, launcher } from "./command.ts";
import { expect, test, type Signalbox } from "./fixtures.ts";

test.setTimeout(180_000);

const escape = "\u001b";

/** Starts a worker of e2e/programs beside a server. */
async function worker(signalbox: Signalbox, program: string, type: string): Promise<Program> {
  const started = runProgram(`e2e/programs/${program}`, {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: join(signalbox.folder, "data", "token"),
    SIGNALBOX_WORKER_ID: program,
    SIGNALBOX_RECORDS: signalbox.folder,
    SIGNALBOX_SPOOL_DIR: signalbox.spool,
  });
  await started.printed(/started/);
  await expect
    .poll(async () => (await signalbox.jobs.listJobTypes({})).types.map((each) => each.type?.name))
    .toContain(type);
  return started;
}

/** The command, or another program, at a terminal of its own: what it draws, and keys for it. */
class AtTerminal {
  readonly #child;
  readonly #code: Promise<number>;
  #drawn = "";

  constructor(signalbox: Signalbox, args: string, program = launcher) {
    this.#child = spawn("script", ["-qefc", `${program} ${args}`, "/dev/null"], {
      env: { ...commandEnv(signalbox), COLUMNS: "120" },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.#drawn += text));
    this.#code = once(this.#child, "close").then(([code]) => Number(code));
  }

  /** What was drawn so far, numbers with plain spaces. */
  get drawn(): string {
    return this.#drawn.replaceAll("\u00a0", " ");
  }

  /** The rows that stay: what was drawn at the bottom and taken away again is not among them. */
  get rows(): string[] {
    const kept = this.drawn.replaceAll(new RegExp(`${escape}\\[\\?7l[^]*?${escape}\\[\\?7h`, "g"), "");
    return kept.replaceAll(new RegExp(`(?:${escape}\\[\\d*A)?\r${escape}\\[J`, "g"), "").split(/\r*\n/);
  }

  press(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** The exit code. */
  get code(): Promise<number> {
    return this.#code;
  }
}

test("piped, a job that is attached to prints its lines plainly, as JSON if that is asked, and ends with its outcome", async ({
  signalbox,
}) => {
  const steered = await worker(signalbox, "test-worker.ts", "items");
  const { code, stdout, stderr } = await command(signalbox, ["start", "items", "count=3", "--attach"]);
  expect([code, stdout]).toEqual([0, "item 1\nitem 2\nitem 3\n"]);
  expect(stderr).toMatch(/^started items: (j-\w{10})\nitems: succeeded after/);
  const id = /j-\w{10}/.exec(stderr)?.[0] ?? "";
  expect((await command(signalbox, ["attach", id, "--tail", "1"])).stdout).toBe("item 3\n");
  expect((await command(signalbox, ["attach", id, "--from", "2", "--raw"])).stdout).toBe("item 2\nitem 3\n");
  expect((await command(signalbox, ["attach", id, "--no-log"])).stdout).toBe("");
  const events = (await command(signalbox, ["attach", id, "--from", "1", "--json"])).json;
  expect(events.map((event) => Object.keys(event)[0])).toEqual(
    expect.arrayContaining(["state", "progress", "attempt", "done"]),
  );
  expect(events.filter((event) => "line" in event).map(({ message }) => message)).toEqual([
    "item 1",
    "item 2",
    "item 3",
  ]);
  expect(events.at(-1)).toMatchObject({ done: { job: { id, state: "JOB_STATE_SUCCEEDED" }, endLine: "4" } });
  expect((await command(signalbox, ["start", "fails", "--attach"])).code).toBe(1);
  expect(await command(signalbox, ["start", "items", "--attach", "--follow"])).toMatchObject({ code: 2 });
  expect(await command(signalbox, ["attach", "j-none"])).toMatchObject({ code: 3 });
  await steered.kill("SIGKILL");
});

test("at a terminal, keys pause, resume, speed up, change the level, send input, leave and cancel", async ({
  signalbox,
}) => {
  const steered = await worker(signalbox, "steered-worker.ts", "tuned");
  const id = await signalbox.startJob("tuned");
  await signalbox.state(id, JobState.RUNNING);
  const terminal = new AtTerminal(signalbox, `attach ${id}`);
  await expect.poll(() => terminal.drawn).toContain("? keys");
  terminal.press("p");
  await signalbox.state(id, JobState.PAUSED);
  await expect.poll(() => terminal.drawn).toContain("Paused");
  terminal.press("r");
  await signalbox.state(id, JobState.RUNNING);
  const asked = async (lever: "speed" | "logLevel") =>
    setting((await signalbox.job(id)).record, lever)?.value?.value.value;
  terminal.press("-");
  const speed = async () => {
    const value = await asked("speed");
    return value && "itemsPerSecond" in value ? value.itemsPerSecond : undefined;
  };
  await expect.poll(speed).toBeDefined();
  await expect.poll(() => terminal.drawn).toMatch(/ speed [\d,.]+ \/s in effect/);
  const slower = (await speed()) ?? 0;
  // The next step goes by what was seen of the one before.
  const press = (key: string) => {
    terminal.press(key);
    return speed();
  };
  await expect.poll(() => press("-")).toBeLessThan(slower);
  const slowest = (await speed()) ?? 0;
  await expect.poll(() => press("+")).toBeGreaterThan(slowest);
  terminal.press("l");
  await expect.poll(() => asked("logLevel")).toMatchObject({ level: Level.DEBUG });
  await expect.poll(() => terminal.drawn).toMatch(/log level debug in effect/);
  terminal.press("?");
  await expect.poll(() => terminal.rows.join("\n")).toContain("p pause · r resume · c cancel");
  // Tuned jobs take no input: that is said, and nothing else happens, whatever is typed behind it.
  terminal.press("ihello\r");
  await expect.poll(() => terminal.rows.join("\n")).toContain("Jobs of type tuned take no input: nothing is sent.");
  expect(await asked("logLevel")).toMatchObject({ level: Level.DEBUG });
  terminal.press("c");
  await expect.poll(() => terminal.drawn).toContain("c again cancels the job");
  expect(setting((await signalbox.job(id)).record, "run")?.value?.value.value).toMatchObject({ mode: RunMode.RUN });
  terminal.press("q");
  expect(await terminal.code).toBe(0);
  expect(terminal.rows.join("\n")).toContain(`The job goes on: signalbox job ${id}`);
  expect((await signalbox.job(id)).record.state).toBe(JobState.RUNNING);

  const again = new AtTerminal(signalbox, `attach ${id}`);
  await expect.poll(() => again.drawn).toContain("? keys");
  again.press("cc");
  await signalbox.state(id, JobState.CANCELED);
  expect(await again.code).toBe(1);

  const echo = new AtTerminal(signalbox, "start echo --attach");
  await expect.poll(() => echo.drawn).toContain("Running");
  echo.press("ihello wörld\r");
  await expect.poll(() => echo.rows).toContain("hello wörld");
  // What the job has not ended with a line end stays at the bottom.
  echo.press("i\u0004");
  expect(await echo.code).toBe(0);
  expect(echo.rows).toContain("the input has ended");

  const owned = new AtTerminal(signalbox, "start tuned --attach --cancel-on-close");
  await expect.poll(() => owned.drawn).toContain("Running");
  const ownedId = /j-\w{10}/.exec(owned.drawn)?.[0] ?? "";
  owned.press("\u0003");
  expect(await owned.code).toBe(130);
  await signalbox.state(ownedId, JobState.CANCELED);
  await steered.kill("SIGKILL");
});

test("Ctrl+Z gives the terminal back to the shell, in the middle of a line too, and fg draws it again", async ({
  signalbox,
}) => {
  // It prints, and takes input.
  const loop = "i=0; while sleep 0.2; do i=$((i+1)); echo line $i of job; done";
  const printing = begin(signalbox, ["run", "--name", "loop", "--", "sh", "-c", loop]);
  const found = async () => (await signalbox.jobs.listJobs({ pageSize: 10 })).jobs.find(({ name }) => name === "loop");
  await expect.poll(async () => (await found())?.state, { timeout: 30_000 }).toBe(JobState.RUNNING);
  const id = (await found())?.id ?? "";
  const shell = new AtTerminal(signalbox, "--norc --noprofile -i", "PS1='ready> ' bash");
  const until = (text: string | RegExp, from = 0) =>
    expect.poll(() => shell.drawn.slice(from), { timeout: 30_000 }).toMatch(text);
  /** Says something in the shell, and resolves with where it began. */
  const say = (command: string) => {
    const from = shell.drawn.length;
    shell.press(`${command}\n`);
    return from;
  };
  await until(/ready> /);
  await until(/\? keys/, say(`${launcher} attach ${id}`));
  for (const keys of ["\u001a", "ihal\u001a"]) {
    let from = shell.drawn.length;
    shell.press(keys);
    await until(/Stopped[^]*ready> /, from);
    // The shell has the terminal as it likes it, and nothing draws on it.
    from = say("stty -a; echo asked");
    await until(/\basked\r\n/, from);
    expect(shell.drawn.slice(from)).toMatch(/(?<!-)\bicanon\b[^]*(?<!-)\becho\b/);
    expect(shell.drawn.slice(from)).not.toMatch(/line \d+ of job/);
    await until(keys.startsWith("i") ? /> hal/ : /Running[^\n]*\? keys/, say("fg"));
    await until(/line \d+ of job/, from);
  }
  // The line that was begun goes on; keys are heard as before.
  let from = shell.drawn.length;
  shell.press("lo");
  await until(/> hallo/, from);
  shell.press("\u0003p");
  await signalbox.state(id, JobState.PAUSED);
  from = shell.drawn.length;
  shell.press("q");
  await until(/The job goes on[^]*ready> /, from);
  shell.press("exit 0\n");
  expect(await shell.code).toBe(0);

  // Without a shell nobody could let it go on: it is not stopped, and its keys are heard.
  const alone = new AtTerminal(signalbox, `attach ${id}`);
  await expect.poll(() => alone.drawn).toContain("? keys");
  alone.press("\u001a");
  await expect.poll(() => alone.drawn.split("? keys").length).toBeGreaterThan(2);
  alone.press("q");
  expect(await alone.code).toBe(0);
  await signalbox.run(id, RunMode.CANCEL);
  await printing.ended;
});

test("what is pressed while the link is lost is refused at once, and nothing of it comes later", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 50 });
  await signalbox.state(id, JobState.RUNNING);
  const terminal = new AtTerminal(signalbox, `attach ${id}`);
  await expect.poll(() => terminal.drawn).toContain("? keys");
  await signalbox.server.kill("SIGKILL");
  await expect.poll(() => terminal.rows.join("\n")).toContain("Not live: ");
  for (const key of ["p", "-", "l", "cc", "i"]) {
    const before = terminal.rows.join("\n").split("nothing was sent").length;
    terminal.press(key);
    await expect.poll(() => terminal.rows.join("\n").split("nothing was sent").length).toBeGreaterThan(before);
  }
  await signalbox.start();
  await expect.poll(() => terminal.rows.join("\n"), { timeout: 60_000 }).toContain("Live again");
  const { record } = await signalbox.job(id);
  expect(record.receipts).toEqual([]);
  terminal.press("p");
  await signalbox.state(id, JobState.PAUSED);
  terminal.press("q");
  expect(await terminal.code).toBe(0);
});

test("what was pressed before the link was lost is said to be in doubt, and what became of it when the link is back", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 50 });
  await signalbox.state(id, JobState.RUNNING);
  const terminal = new AtTerminal(signalbox, `attach ${id}`);
  const rows = () => expect.poll(() => terminal.rows.join("\n"), { timeout: 60_000 });
  await expect.poll(() => terminal.drawn).toContain("? keys");
  await signalbox.server.kill("SIGSTOP");
  terminal.press("p");
  await rows().toMatch(/Not live: [^]*Not known whether it arrived: Pause\./);
  await signalbox.server.kill("SIGCONT");
  await rows().toMatch(/Live again[^]*Pause: paused after /);
  const { record } = await signalbox.job(id);
  expect(record.receipts).toHaveLength(1);
  terminal.press("q");
  expect(await terminal.code).toBe(0);
});

test("over a server that is killed twice an attached job's lines come each once, and at a rate those left out are told", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const id = await signalbox.startJob("lines", { per_second: 300 });
  await signalbox.state(id, JobState.RUNNING);
  const all = begin(signalbox, ["attach", id, "--from", "1"]);
  const some = begin(signalbox, ["attach", id, "--from", "1", "--rate", "40", "--json"]);
  // Whoever finds no server at the begin does not wait for one.
  await expect.poll(() => some.stdout(), { timeout: 60_000 }).toContain("line");
  for (let round = 0; round < 2; round++) {
    const before = all.stdout().split("\n").length;
    await expect.poll(() => all.stdout().split("\n").length, { timeout: 60_000 }).toBeGreaterThan(before + 300);
    await signalbox.server.kill("SIGKILL");
    await signalbox.start();
  }
  const before = all.stdout().split("\n").length;
  await expect.poll(() => all.stdout().split("\n").length, { timeout: 60_000 }).toBeGreaterThan(before + 300);
  await signalbox.run(id, RunMode.CANCEL);
  const whole = await all.ended;
  expect(whole.code).toBe(1);
  expect(whole.stderr).toMatch(/Not live: .*\nLive again/);
  const text = (await signalbox.text(id)).toString();
  expect(whole.stdout).toBe(text);

  const { json } = await some.ended;
  let next = 1;
  let left = 0;
  for (const event of json) {
    if ("skippedLines" in event) {
      expect(Number(event["firstLine"])).toBe(next);
      left += Number(event["skippedLines"]);
      next += Number(event["skippedLines"]);
    } else if ("line" in event) expect(Number(event["line"])).toBe(next++);
  }
  expect(next - 1).toBe(text.split("\n").length - 1);
  expect(left).toBeGreaterThan(0);
});
