import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { EndOutcome, LeverOutcome, RunMode } from "@signalbox/protocol";
import { afterAll, expect, test, vi } from "vitest";
import { leverOf, roomForTests } from "../room-for-tests.ts";
import type { StoredAttempt } from "../server-for-tests.ts";
import type { WorkerOptions } from "../worker.ts";
import { commandJob } from "./command-job.ts";
import type { CommandParameters } from "./command-run.ts";
import { isAlive } from "./tree-for-tests.ts";

vi.setConfig({ testTimeout: 60_000 });
const room = roomForTests();
let count = 0;

/** Starts a worker that offers commands, and one of them. */
async function command(
  words: readonly string[],
  {
    options = {},
    ...parameters
  }: Partial<Omit<CommandParameters, "command">> & { options?: Partial<WorkerOptions> } = {},
): Promise<StoredAttempt> {
  await room.start([commandJob()], options);
  const given: JsonObject = { ...parameters, command: [...words] };
  return room.server.assign(`job-${++count}`, "command", { parameters: given });
}

/** Starts a bash script. */
const script = (text: string, parameters: Parameters<typeof command>[1] = {}) =>
  command(["bash", "-c", text], parameters);

const end = ({ report }: StoredAttempt) => report?.end;
const until = (check: () => boolean, what: string) => room.server.until(check, what, 40_000);

async function ended(attempt: StoredAttempt): Promise<EndOutcome | undefined> {
  await until(() => end(attempt) !== undefined, "it has ended");
  return end(attempt)?.outcome;
}

/** A pid that the script has printed as `name=pid`. */
async function pidOf(attempt: StoredAttempt, name: string): Promise<number> {
  const pattern = new RegExp(`${name}=(\\d+)\n`);
  await until(() => pattern.test(attempt.text), `${name} has said its pid`);
  return Number(pattern.exec(attempt.text)?.[1]);
}

test("what a command prints is stored byte for byte, by source, and its exit code too", async () => {
  const attempt = await command(["sh", "-c", String.raw`printf 'a\0\377\nb\r\n'; printf 'oops\n' >&2; exit 0`]);
  expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  expect(attempt.textOf("stderr")).toBe("oops\n");
  expect(attempt.bytes.length).toBe(12);
  expect(attempt.bytes.includes(Buffer.from([97, 0, 255, 10, 98, 13, 10]))).toBe(true);
  expect(end(attempt)).toMatchObject({ exitCode: 0, signal: "" });
});

test.runIf(process.platform === "linux")(
  "a program that opens its input again when it has ended sees the end",
  async () => {
    const attempt = await command(["sh", "-c", "cat; cat /dev/stdin; cat </proc/self/fd/0; echo over"], {
      input: false,
    });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.text).toBe("over\n");
  },
);

test("no shell sees the words of a command", async () => {
  const attempt = await command(["printf", "%s|", "a b", "$HOME", "*", "; rm", "'\""]);
  expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  expect(attempt.text).toBe(`a b|$HOME|*|; rm|'"|`);
});

test("an exit code, a signal and a command that cannot be started are failures with their facts", async () => {
  const code = await script("echo no; exit 3");
  expect(await ended(code)).toBe(EndOutcome.FAILED);
  expect(end(code)).toMatchObject({ reason: "exit code 3", exitCode: 3, signal: "" });
  const [worker] = room.workers;
  await worker?.stop();
  const signal = await script("kill -SEGV $$");
  expect(await ended(signal)).toBe(EndOutcome.FAILED);
  expect(end(signal)).toMatchObject({ reason: "ended by SIGSEGV (segmentation fault)", signal: "SIGSEGV" });
});

const scripts = mkdtempSync(join(tmpdir(), "signalbox-scripts-"));
afterAll(() => rmSync(scripts, { recursive: true }));
const scriptWithoutInterpreter = join(scripts, "script");
writeFileSync(scriptWithoutInterpreter, "#!/no/such/interpreter\n", { mode: 0o755 });

test.each<[string, string[], Parameters<typeof command>[1], number, RegExp]>([
  ["a name that is nowhere", ["no-such-thing"], {}, 127, /no such command: no-such-thing is in no folder of PATH/],
  ["a file that is no program", ["/etc/passwd"], {}, 126, /cannot run \/etc\/passwd: .* not executable/],
  ["a folder that is not there", ["true"], { cwd: "/no/such/folder" }, 126, /the working folder \/no\/such\/folder/],
  ["a script whose interpreter is missing", [scriptWithoutInterpreter], {}, 126, /cannot run .*: the interpreter/],
  ["more words than the system takes", ["true", "x".repeat(200_000)], {}, 126, /cannot run true: .*E2BIG/],
])("%s fails with a sentence", async (_, words, parameters, exitCode, reason) => {
  const attempt = await command(words, parameters);
  expect(await ended(attempt)).toBe(EndOutcome.FAILED);
  expect(end(attempt)?.exitCode).toBe(exitCode);
  expect(end(attempt)?.reason).toMatch(reason);
  expect(attempt.text).toBe("");
});

test("folder and environment are as asked, and what lets the worker in is not handed on", async () => {
  vi.stubEnv("SIGNALBOX_TOKEN", "secret");
  vi.stubEnv("SIGNALBOX_WORKER_ID", "built-in");
  try {
    const attempt = await script(
      'pwd; echo "$GREETING|$SIGNALBOX_TOKEN|$SIGNALBOX_WORKER_ID|${SIGNALBOX_RUN:+marked}"',
      {
        cwd: tmpdir(),
        env: { GREETING: "hello" },
      },
    );
    await ended(attempt);
    expect(attempt.text).toBe(`${realpathSync(tmpdir())}\nhello|||marked\n`);
  } finally {
    vi.unstubAllEnvs();
  }
});

test("a prompt without a newline is there while it waits, and input reaches it; the end of the input ends it", async () => {
  const attempt = await script(`printf 'name? '; read name; echo "hello $name"; cat; echo over`);
  await until(() => attempt.text === "name? ", "the prompt is there");
  room.server.send(attempt, "world\n");
  await until(() => attempt.text.includes("hello world\n"), "the input was read");
  room.server.send(attempt, "more\n", { eof: true });
  expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  expect(attempt.text).toBe("name? hello world\nmore\nover\n");
});

test("input is taken no faster than the command reads it", async () => {
  const attempt = await script("sleep 1; wc -c");
  for (let i = 0; i < 16; i++) room.server.send(attempt, Buffer.alloc(64 * 1024));
  await until(() => attempt.inputTaken.some((offset) => offset > 0), "some was taken");
  // A pipe holds 64 KiB, and one piece is on its way into it.
  expect(Math.max(...attempt.inputTaken)).toBeLessThanOrEqual(3 * 64 * 1024);
  room.server.send(attempt, "", { eof: true });
  await ended(attempt);
  expect(attempt.text.trim()).toBe(String(1024 * 1024));
});

test("without input a command finds its input empty, and input into a closed one is said to be dropped", async () => {
  const empty = await script("cat; echo over", { input: false });
  expect(await ended(empty)).toBe(EndOutcome.SUCCEEDED);
  expect(empty.text).toBe("over\n");
  await room.workers[0]?.stop();
  const closed = await script("exec <&-; echo ready; sleep 2");
  await until(() => closed.text.includes("ready"), "its input is closed");
  room.server.send(closed, "a\n");
  room.server.send(closed, "b\n");
  await ended(closed);
  expect(closed.text.match(/Input has come and is dropped/g)).toHaveLength(1);
});

test("a megabyte without a newline is stored as it is", async () => {
  const attempt = await script("head -c 1000000 /dev/zero | tr '\\0' x");
  await ended(attempt);
  expect(attempt.bytes.equals(Buffer.alloc(1_000_000, "x"))).toBe(true);
});

test("a command that closes its output goes on, and what it still says on the other is kept", async () => {
  const attempt = await script("echo first; exec >&-; sleep 0.3; echo still here >&2; exit 5");
  expect(await ended(attempt)).toBe(EndOutcome.FAILED);
  expect([attempt.textOf("stdout"), attempt.textOf("stderr")]).toEqual(["first\n", "still here\n"]);
  expect(end(attempt)?.exitCode).toBe(5);
});

test("pause stops everything it has started, and resume goes on where it stood", async () => {
  const attempt = await script(`
    setsid bash -c 'trap "" TERM; i=0; while :; do i=$((i+1)); echo away $i; sleep 0.02; done' &
    i=0; while :; do i=$((i+1)); echo own $i; sleep 0.02; done`);
  await until(() => /away 5\n/.test(attempt.text) && /own 5\n/.test(attempt.text), "both count");
  const paused = room.server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
  await until(() => leverOf(attempt, "run")?.generation === paused, "the pause is applied");
  // What was printed before comes; then nothing does.
  let before = "";
  await vi.waitFor(
    () => {
      const now = attempt.text;
      const quiet = now === before;
      before = now;
      expect(quiet).toBe(true);
    },
    { timeout: 10_000, interval: 500 },
  );
  const resumed = room.server.set(attempt, { case: "run", value: { mode: RunMode.RUN } });
  await until(() => leverOf(attempt, "run")?.generation === resumed, "it goes on");
  await until(() => attempt.text.length > before.length + 100, "it counts again");
  for (const name of ["own", "away"]) {
    const numbers = attempt.lines.filter((line) => line.startsWith(name)).map((line) => Number(line.split(" ")[1]));
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));
  }
  room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 100 } });
  expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
});

test("cancel ends what obeys, shows the grace running down, kills the rest, and only then is it canceled", async () => {
  const attempt = await script(`
    trap 'echo bye; exit 0' TERM
    (trap "" TERM; echo child=$BASHPID; while :; do sleep 0.05; done) &
    setsid bash -c 'trap "" TERM; echo away=$$; while :; do sleep 0.05; done' &
    while :; do sleep 0.05; done`);
  const pids = [await pidOf(attempt, "child"), await pidOf(attempt, "away")];
  room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 1500, reason: "enough" } });
  await until(
    () => attempt.vitals.some(({ phase }) => /^TERM sent, \d+ processes left, KILL in [12] s$/.test(phase)),
    "the grace is shown",
  );
  expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
  expect(await Promise.all(pids.map(isAlive))).toEqual([false, false]);
  expect(attempt.text).toContain("bye\n");
  expect(end(attempt)).toMatchObject({ reason: "enough", exitCode: 0 });
});

test("a second cancel cuts the grace short, and a paused command is ended too", async () => {
  const attempt = await script(`trap "" TERM; echo own=$$; while :; do sleep 0.05; done`);
  const pid = await pidOf(attempt, "own");
  const paused = room.server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
  await until(() => leverOf(attempt, "run")?.generation === paused, "the pause is applied");
  room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 600_000 } });
  await until(() => attempt.vitals.some(({ phase }) => phase.startsWith("TERM sent")), "TERM was sent");
  room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 50 } });
  expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
  expect(await isAlive(pid)).toBe(false);
  expect(end(attempt)?.signal).toBe("SIGKILL");
});

test("a worker that stops ends its commands and gives the jobs back", async () => {
  const attempt = await script(`echo own=$$; sleep 1001; true`);
  const pid = await pidOf(attempt, "own");
  await room.workers[0]?.stop();
  expect(end(attempt)?.outcome).toBe(EndOutcome.RELEASED);
  expect(await isAlive(pid)).toBe(false);
});

test("what a command leaves behind is named in its log and ended, although it holds the output open", async () => {
  const attempt = await script(
    `setsid bash -c 'trap "" TERM; echo left=$$; while :; do sleep 0.05; done' & sleep 0.3; exit 0`,
    {
      grace_seconds: 0.2,
    },
  );
  const left = await pidOf(attempt, "left");
  expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  expect(attempt.text).toContain(`The command has ended and left ${left} (bash)`);
  expect(await isAlive(left)).toBe(false);
});

test("what it prints moves its progress, unless that is off", async () => {
  const bar = String.raw`for i in 0 25 50 75 100; do printf '\r%3d%%' $i; sleep 0.15; done`;
  const attempt = await script(bar);
  // Which of its values the room hears of depends on when it looks.
  const isOnItsWay = () => attempt.vitals.some(({ itemsDone, itemsTotal }) => itemsTotal === 100n && itemsDone > 0n);
  await until(isOnItsWay, "it has moved");
  await ended(attempt);
  expect(attempt.bytes.toString()).toBe("\r  0%\r 25%\r 50%\r 75%\r100%");
  await room.workers[0]?.stop();
  const silent = await script(bar, { progress: false });
  await ended(silent);
  expect(silent.vitals.every(({ itemsTotal }) => itemsTotal === undefined)).toBe(true);
});

test("a secret that looks like progress moves nothing", async () => {
  const secret = "correct 77% horse";
  const attempt = await script(`printf 'password: ${secret.replace("%", "%%")}\n'; sleep 0.3`, {
    options: { redact: { values: [secret] } },
  });
  await ended(attempt);
  expect(attempt.text).toBe("password: [redacted]\n");
  expect(attempt.vitals.every(({ itemsTotal }) => itemsTotal === undefined)).toBe(true);
});

test("a command that prints without end waits while the server takes nothing, and goes on when it does", async () => {
  room.server.behaviour.autoAck = false;
  const attempt = await command(["yes", "0123456789"], { options: { bufferBytes: 1024 * 1024 } });
  await until(() => attempt.vitals.some(({ stalledBy }) => stalledBy !== ""), "it stands");
  room.server.behaviour.autoAck = true;
  room.server.acknowledge();
  await until(() => attempt.bytes.length > 4 * 1024 * 1024, "much more has come");
  room.server.set(attempt, { case: "run", value: { mode: RunMode.CANCEL, graceMs: 1000 } });
  expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
  expect(leverOf(attempt, "run")?.outcome).toBe(LeverOutcome.APPLIED);
  expect(attempt.text.startsWith("0123456789\n".repeat(1000))).toBe(true);
});
