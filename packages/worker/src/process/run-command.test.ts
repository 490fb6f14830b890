import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { RunMode } from "@signalbox/protocol";
import { plural } from "@signalbox/protocol/format";
import { leverOf, roomForTests } from "../room-for-tests.ts";
import { listSpools, readSpool } from "../spool/left-spools.ts";
import { linuxProcesses } from "./processes-linux.ts";
import type { RunCommandOptions } from "./run-command.ts";
import { isAlive } from "./tree-for-tests.ts";

// Real supervisors in processes of their own, and what a command does at its terminal. What the room sees of it is tested with a real
// server, in e2e/run.spec.ts.

const main = fileURLToPath(new URL("./run-command-for-tests.ts", import.meta.url));
const room = roomForTests();
const away = { url: "http://127.0.0.1:9", token: "none" };
const patient = { timeout: 30_000, interval: 30 };
vi.setConfig({ testTimeout: 60_000 });
// Some tests run several supervisors: none may decline what is another's.
beforeEach(() => void (room.server.behaviour.keepsToProcess = true));

interface Supervised {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Exit code of the supervisor; null if a signal has ended it. */
  readonly code: Promise<number | null>;
  /** Pids that the command has printed as `name=pid`. */
  readonly pid: (name: string) => Promise<number>;
}

/** Runs a command under a supervisor. Without `stdio` its input is empty. */
function supervise(
  command: readonly string[],
  {
    env = {},
    stdio,
    ...options
  }: Partial<RunCommandOptions> & { env?: Record<string, string>; stdio?: StdioOptions } = {},
): Supervised {
  const child = spawn(process.execPath, [main, ...command], {
    env: {
      ...process.env,
      // For a run inside a run, which must not find a server of this machine.
      SIGNALBOX_URL: away.url,
      SIGNALBOX_TOKEN: away.token,
      SIGNALBOX_RUN_OPTIONS: JSON.stringify({ url: room.server.url, token: room.server.token, ...options }),
      ...env,
    },
    stdio: stdio ?? ["ignore", "pipe", "pipe"],
  });
  child.stdin?.on("error", () => undefined);
  let out = "";
  let errors = "";
  child.stdout?.on("data", (bytes: Buffer) => (out += bytes.toString()));
  child.stderr?.on("data", (bytes: Buffer) => (errors += bytes.toString()));
  const code = once(child, "close").then(([exitCode]) => exitCode as number | null);
  // The guard, too, ends when this does.
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    child,
    stdout: () => out,
    stderr: () => errors,
    code,
    pid: (name) =>
      vi.waitFor(() => {
        const pid = new RegExp(`${name}=(\\d+)\n`).exec(out)?.[1];
        expect(pid).toBeDefined();
        return Number(pid);
      }, patient),
  };
}

test.each<[string, string[], number]>([
  ["success", ["true"], 0],
  ["an exit code", ["sh", "-c", "exit 37"], 37],
  ["a signal", ["sh", "-c", "kill -SEGV $$"], 139],
  ["a command that does not exist", ["no-such-command-anywhere"], 127],
  ["a file that is not there", ["/no/such/file"], 127],
  ["a file that cannot be run", [main], 126],
  ["a folder", ["/tmp"], 126],
])("%s is passed on as a shell does", async (_, command, code) => {
  expect(await supervise(command).code).toBe(code);
});

test("stdout and stderr come out where they belong, byte for byte", async () => {
  const supervised = supervise(["sh", "-c", String.raw`printf 'a\0\377b'; printf 'c\r\nd' >&2`], { stdio: "pipe" });
  const out: Buffer[] = [];
  supervised.child.stdout?.on("data", (bytes: Buffer) => out.push(bytes));
  supervised.child.stdin?.end();
  expect(await supervised.code).toBe(0);
  expect(Buffer.concat(out)).toEqual(Buffer.from([97, 0, 255, 98]));
  expect(supervised.stderr()).toContain("c\r\nd");
});

test("the local input is the command's, and its end ends it", async () => {
  const supervised = supervise(["sort"], { stdio: "pipe" });
  supervised.child.stdin?.end("b\nc\na\n");
  expect(await supervised.code).toBe(0);
  expect(supervised.stdout()).toBe("a\nb\nc\n");
});

test("a megabyte goes in and comes out while the command reads slowly", async () => {
  const supervised = supervise(["sh", "-c", "sleep 0.5; cat"], { stdio: "pipe" });
  const sent = Buffer.alloc(1_000_000, "0123456789");
  supervised.child.stdin?.end(sent);
  expect(await supervised.code).toBe(0);
  expect(supervised.stdout()).toBe(sent.toString());
});

test("a command that does not read its input ends nevertheless", async () => {
  const supervised = supervise(["sh", "-c", "exec <&-; echo done"], { stdio: "pipe" });
  supervised.child.stdin?.write(Buffer.alloc(300_000));
  expect(await supervised.code).toBe(0);
  expect(supervised.stdout()).toBe("done\n");
});

test("programs find pipes, not sockets: /dev/stderr can be opened", async () => {
  const supervised = supervise(["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr"]);
  expect(await supervised.code).toBe(0);
  expect(supervised.stdout()).toBe("out\n");
  expect(supervised.stderr()).toContain("err\n");
});

test("colours and unbuffered output are asked for, and what the user has set stays", async () => {
  const print = ["sh", "-c", 'echo "$FORCE_COLOR,$CLICOLOR_FORCE,$PYTHONUNBUFFERED,$NO_COLOR"'];
  const unset = { FORCE_COLOR: undefined, NO_COLOR: undefined, CLICOLOR_FORCE: undefined } as unknown as Record<
    string,
    string
  >;
  const [plain, set, none] = [
    supervise(print, { env: unset }),
    supervise(print, { env: { ...unset, FORCE_COLOR: "3", PYTHONUNBUFFERED: "" } }),
    supervise(print, { env: { ...unset, NO_COLOR: "1" } }),
  ];
  await Promise.all([plain.code, set.code, none.code]);
  expect([plain.stdout(), set.stdout(), none.stdout()]).toEqual(["1,1,1,\n", "3,1,,\n", ",,1,1\n"]);
});

test("Ctrl+C reaches the command, as often as it is pressed, and its exit code is passed on", async () => {
  const supervised = supervise([
    "bash",
    "-c",
    `n=0; trap 'n=$((n+1)); echo int $n; [ $n = 2 ] && exit 7' INT; echo ready; while :; do sleep 0.05; done`,
  ]);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("ready"), patient);
  supervised.child.kill("SIGINT");
  await vi.waitFor(() => expect(supervised.stdout()).toContain("int 1"), patient);
  supervised.child.kill("SIGINT");
  expect(await supervised.code).toBe(7);
  expect(supervised.stdout()).toBe("ready\nint 1\nint 2\n");
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
  ["SIGQUIT", 131],
  ["SIGUSR1", 138],
] as const)("%s ends a command that does not handle it", async (signal, code) => {
  const supervised = supervise(["sh", "-c", "echo ready; sleep 1001; true"]);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("ready"), patient);
  supervised.child.kill(signal);
  expect(await supervised.code).toBe(code);
});

test("Ctrl+C after the command's end ends the wait for a server, with the command's code", async () => {
  const supervised = supervise(["sh", "-c", "echo over; exit 5"], away);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("over"), patient);
  // The command may still have to be noticed as ended: until then it is the one that gets the signal.
  const press = setInterval(() => supervised.child.kill("SIGINT"), 300);
  onTestFinished(() => clearInterval(press));
  expect(await supervised.code).toBe(5);
  expect(supervised.stderr()).toContain("the room does not have all of it: SIGINT ended the wait for the server");
});

test("without any server the end says so, 5 s after the command's", async () => {
  const supervised = supervise(["sh", "-c", "echo hello; exit 4"], away);
  expect(await supervised.code).toBe(4);
  expect(supervised.stdout()).toBe("hello\n");
  expect(supervised.stderr()).toMatch(
    /the room does not have all of it: the server did not confirm the end of the output within 5 s; the last 1 KB of the output are missing/,
  );
});

test("a command whose spool drops lines says so when it begins to, and at its end how many", async () => {
  const folder = mkdtempSync(join(tmpdir(), "dropping-spool-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const options = { spool: { folder, bytes: 1024 * 1024, whenFull: "drop-oldest" as const } };
  const supervised = supervise(["sh", "-c", "yes 0123456789 | head -c 4000000"], { ...away, ...options });
  expect(await supervised.code).toBe(0);
  const [spool] = await listSpools(folder);
  const [left] = await readSpool(spool?.path ?? "");
  const dropped = left?.droppedLines ?? 0;
  expect(dropped).toBeGreaterThan(100_000);
  expect(supervised.stderr()).toMatch(/is full, and its oldest lines are dropped: [\d,]+ so far/);
  expect(supervised.stderr()).toContain(`dropped, since the spool was full: ${plural(dropped, "line")}`);
});

test("a command that ends with its spool full leaves all of it there, and its end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "full-spool-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  // What comes behind the first is printed when it has filled the spool.
  const print = `x() { yes ${"x".repeat(100)} | head -n $1; }; x 10700; sleep 1; x 300; sleep 0.3; x 300; exit 6`;
  const options = { spool: { folder, bytes: 1024 * 1024 } };
  await room.server.stop();
  const supervised = supervise(["sh", "-c", print], options);
  expect(await supervised.code).toBe(6);
  expect(supervised.stderr()).toMatch(/the last 1.. MB of the output are kept here/);
  const [spool] = await listSpools(folder);
  const [left] = await readSpool(spool?.path ?? "");
  expect(left?.note?.end).not.toBe("");
  // In how many pieces the lines are kept depends on the disk. The next command delivers them all.
  await room.server.start();
  const next = supervise(["sleep", "1001"], options);
  const line = `${"x".repeat(100)}\n`;
  await vi.waitFor(() => {
    const whole = line.repeat(11_300);
    expect([...room.server.attempts.values()].some(({ text }) => text === whole)).toBe(true);
  }, patient);
  next.child.kill("SIGTERM");
  expect(await next.code).toBe(143);
});

test("a command runs although the folder where it is run was removed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "signalbox-removed-"));
  const there = `cd '${folder}' && rmdir '${folder}' && exec "$@"`;
  const child = spawn("sh", ["-c", there, "sh", process.execPath, main, "sh", "-c", "echo here; exit 4"], {
    env: { ...process.env, SIGNALBOX_RUN_OPTIONS: JSON.stringify({ url: room.server.url, token: room.server.token }) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  expect({ code, out }).toEqual({ code: 4, out: "here\n" });
});

test("Ctrl+Z stops the command with all its processes and the supervisor, and fg continues them", async () => {
  const supervised = supervise([
    "bash",
    "-c",
    `setsid bash -c 'while :; do :; done' & echo away=$!; echo own=$$; wait`,
  ]);
  const pids = [await supervised.pid("own"), await supervised.pid("away"), supervised.child.pid ?? 0];
  const states = async () => {
    const all = await linuxProcesses.list();
    return pids.map((pid) => all.find((each) => each.pid === pid)?.state);
  };
  supervised.child.kill("SIGTSTP");
  await vi.waitFor(async () => expect(await states()).toEqual(["stopped", "stopped", "stopped"]), patient);
  supervised.child.kill("SIGCONT");
  await vi.waitFor(async () => expect(await states()).not.toContain("stopped"), patient);
  supervised.child.kill("SIGTERM");
  expect(await supervised.code).toBe(143);
});

test("what a command leaves behind is named and ended, also if it ignores TERM and holds the output open", async () => {
  const supervised = supervise(
    ["bash", "-c", `setsid bash -c 'trap "" TERM; echo left=$$; while :; do sleep 0.05; done' & sleep 0.3; exit 6`],
    { graceSeconds: 0.5 },
  );
  const left = await supervised.pid("left");
  expect(await supervised.code).toBe(6);
  expect(await isAlive(left)).toBe(false);
  expect(supervised.stderr()).toContain(`left ${left} (bash)`);
});

test("what a command leaves behind goes on if that is wanted, and its hold on the output keeps nobody", async () => {
  const supervised = supervise(["bash", "-c", `setsid bash -c 'echo left=$$; exec sleep 1001' & sleep 0.3; exit 6`], {
    leave: true,
  });
  const left = await supervised.pid("left");
  onTestFinished(() => void process.kill(left, "SIGKILL"));
  expect(await supervised.code).toBe(6);
  expect(await isAlive(left)).toBe(true);
});

const stubborn = `trap "" TERM
  setsid bash -c 'trap "" TERM; echo away=$$; while :; do sleep 0.05; done' &
  (trap "" TERM; echo child=$BASHPID; while :; do sleep 0.05; done) &
  echo own=$$; while :; do sleep 0.05; done`;

test("when the supervisor is killed, everything it ran dies, whatever it ignores and wherever it went", async () => {
  const supervised = supervise(["bash", "-c", stubborn]);
  const pids = await Promise.all(["own", "child", "away"].map((name) => supervised.pid(name)));
  supervised.child.kill("SIGKILL");
  await vi.waitFor(async () => expect(await Promise.all(pids.map(isAlive))).toEqual([false, false, false]), patient);
});

test("when it is killed while everything stands, everything dies too", async () => {
  const supervised = supervise(["bash", "-c", stubborn]);
  const pids = await Promise.all(["own", "child", "away"].map((name) => supervised.pid(name)));
  supervised.child.kill("SIGTSTP");
  await vi.waitFor(async () => {
    const own = (await linuxProcesses.list()).find(({ pid }) => pid === supervised.child.pid);
    expect(own?.state).toBe("stopped");
  }, patient);
  supervised.child.kill("SIGKILL");
  await vi.waitFor(async () => expect(await Promise.all(pids.map(isAlive))).toEqual([false, false, false]), patient);
});

/** The guard's pid: a child of the supervisor that says what it is. */
async function guardOf(supervised: Supervised): Promise<number> {
  return vi.waitFor(async () => {
    const guard = (await linuxProcesses.list()).find(
      ({ pid, parent, state }) =>
        parent === supervised.child.pid &&
        state !== "ended" &&
        readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("signalbox-guard"),
    );
    expect(guard).toBeDefined();
    return guard?.pid ?? 0;
  }, patient);
}

test("the guard outlives what ends terminals, and one that is killed is started again and does its work", async () => {
  const supervised = supervise(["bash", "-c", stubborn]);
  const pids = await Promise.all(["own", "child", "away"].map((name) => supervised.pid(name)));
  const first = await guardOf(supervised);
  process.kill(first, "SIGKILL");
  const second = await vi.waitFor(async () => {
    const guard = await guardOf(supervised);
    expect(guard).not.toBe(first);
    return guard;
  }, patient);
  // Node itself catches INT and TERM from its first moment, but not HUP.
  await vi.waitFor(() => {
    const caught = BigInt(`0x${/SigCgt:\s*(\w+)/.exec(readFileSync(`/proc/${second}/status`, "latin1"))?.[1] ?? 0}`);
    expect(caught & 1n).toBe(1n);
  }, patient);
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.kill(second, signal);
  expect(await guardOf(supervised)).toBe(second);
  supervised.child.kill("SIGKILL");
  await vi.waitFor(
    async () => expect(await Promise.all([...pids, second].map(isAlive))).toEqual([false, false, false, false]),
    patient,
  );
});

test("a supervisor that ends leaves no guard behind", async () => {
  const supervised = supervise(["sh", "-c", "echo ready; sleep 1001; true"]);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("ready"), patient);
  const guard = await guardOf(supervised);
  supervised.child.kill("SIGINT");
  await supervised.code;
  await vi.waitFor(async () => expect(await isAlive(guard)).toBe(false), patient);
});

test("when nobody reads the output any more the echo ends, and the command goes on until its own end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "signalbox-echo-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const supervised = supervise([
    "sh",
    "-c",
    `echo first; sleep 1; echo second; sleep 0.5; echo here > ${folder}/end; exit 3`,
  ]);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("first"), patient);
  supervised.child.stdout?.destroy();
  expect(await supervised.code).toBe(3);
  expect(readFileSync(join(folder, "end"), "utf8")).toBe("here\n");
  expect(supervised.stderr()).toContain("nobody reads the output here any more");
});

test("a reader that does not read holds up the command, not the supervisor, and gets every byte in the end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "signalbox-slow-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "big"), Buffer.alloc(4_000_000, "0123456789abcde\n"));
  const supervised = supervise(["sh", "-c", `cat ${folder}/big; echo all > ${folder}/end`]);
  supervised.child.stdout?.pause();
  // It waits in the pipe, for much more than fits was printed; and signals are heard meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(() => readFileSync(join(folder, "end"))).toThrow();
  supervised.child.stdout?.resume();
  expect(await supervised.code).toBe(0);
  expect(supervised.stdout()).toHaveLength(4_000_000);
});

test("with a terminal of its own the command sees one, and its lines end as there", async () => {
  const supervised = supervise(
    ["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size && echo err >&2; exit 9"],
    {
      tty: true,
      keepInputOpen: true,
    },
  );
  expect(await supervised.code).toBe(9);
  expect(supervised.stdout()).toBe("24 80\r\nerr\r\n");
});

test("a command on a terminal that is ended by a signal says so, and loses nothing to a slow reader", async () => {
  const supervised = supervise(["sh", "-c", "seq 1 100000; kill -SEGV $$"], { tty: true, keepInputOpen: true });
  supervised.child.stdout?.pause();
  setTimeout(() => supervised.child.stdout?.resume(), 1500);
  expect(await supervised.code).toBe(139);
  expect(supervised.stdout().split("\r\n").slice(0, -1)).toEqual(
    Array.from({ length: 100_000 }, (_, i) => String(i + 1)),
  );
});

test("input into a terminal is typed, and its end is Ctrl+D", async () => {
  const supervised = supervise(["sh", "-c", "read line; echo got $line; cat"], { tty: true, stdio: "pipe" });
  supervised.child.stdin?.write("hello\nmore\n");
  await vi.waitFor(() => expect(supervised.stdout()).toContain("got hello\r\n"), patient);
  supervised.child.stdin?.end();
  expect(await supervised.code).toBe(0);
});

test("input that ends within a line ends at a terminal, too", async () => {
  const supervised = supervise(["cat"], { stdio: "pipe", tty: true });
  supervised.child.stdin?.end("one\ntwo");
  expect(await supervised.code).toBe(0);
  expect(supervised.stdout()).toMatch(/one\r\n.*two/s);
});

test("at a terminal a signal without a name is told by its number", async () => {
  const supervised = supervise(["bash", "-c", "kill -40 $$"], { tty: true });
  expect(await supervised.code).toBe(168);
  const attempt = room.server.firstStarted;
  await vi.waitFor(() => expect(attempt?.report?.end?.signal).toBe("signal 40"), patient);
});

test.runIf(process.platform === "linux")("on pipes a signal without a name is seen, too, nearly always", async () => {
  const codes: (number | null)[] = [];
  // Node does not tell it: the program's entry in the system's list does, while it is there.
  for (let i = 0; i < 8 && !codes.includes(168); i++)
    codes.push(await supervise(["bash", "-c", "echo hi; kill -40 $$"]).code);
  expect(codes.at(-1)).toBe(168);
});

test("Ctrl+C ends a command that the room has paused", async () => {
  const supervised = supervise(["bash", "-c", "echo own=$$; while :; do sleep 0.05; done"]);
  const own = await supervised.pid("own");
  await room.server.until(() => room.server.firstStarted !== undefined, "the room has the job", 30_000);
  const attempt = room.server.firstStarted;
  if (attempt) room.server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
  await vi.waitFor(async () => {
    expect((await linuxProcesses.list()).find(({ pid }) => pid === own)?.state).toBe("stopped");
    expect(attempt && leverOf(attempt, "run")?.value?.value.value).toMatchObject({ mode: RunMode.PAUSE });
  }, patient);
  supervised.child.kill("SIGINT");
  expect([130, 143]).toContain(await supervised.code);
});

test("a cancel in the room is told where the command runs", async () => {
  const supervised = supervise(["sh", "-c", "echo ready; sleep 1001; true"]);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("ready"), patient);
  await room.server.until(() => room.server.firstStarted !== undefined, "the room has the job", 30_000);
  const attempt = room.server.firstStarted;
  const value = { mode: RunMode.CANCEL, graceMs: 5000, reason: "enough" };
  if (attempt) room.server.set(attempt, { case: "run", value });
  expect(await supervised.code).toBe(143);
  expect(supervised.stderr()).toContain("signalbox: somebody in the room has canceled this job: enough\n");
});

test("a cancel in the room is told with the name of whoever gave it, where the room says so", async () => {
  const supervised = supervise(["sh", "-c", "echo ready; sleep 1001; true"]);
  await vi.waitFor(() => expect(supervised.stdout()).toContain("ready"), patient);
  await room.server.until(() => room.server.firstStarted !== undefined, "the room has the job", 30_000);
  const attempt = room.server.firstStarted;
  const value = { mode: RunMode.CANCEL, graceMs: 5000, reason: "" };
  if (attempt) room.server.set(attempt, { case: "run", value }, undefined, "ana");
  expect(await supervised.code).toBe(143);
  expect(supervised.stderr()).toContain("signalbox: this job was canceled by ana\n");
});

test("a run inside a run is part of it, and passes everything on", async () => {
  const inner = [
    process.execPath,
    main,
    "bash",
    "-c",
    `echo "inner=$$ $SIGNALBOX_RUN"; read line; echo "got $line"; exit 12`,
  ];
  const supervised = supervise(inner, { stdio: "pipe" });
  await vi.waitFor(() => expect(supervised.stdout()).toMatch(/inner=\d+ \w{16}:\w{16}\n/), patient);
  supervised.child.stdin?.end("hello\n");
  expect(await supervised.code).toBe(12);
  expect(supervised.stdout()).toContain("got hello\n");
});
