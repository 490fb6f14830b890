import { expect, test } from "vitest";
import { commandEnvironment } from "./command-environment.ts";
import { commandName } from "./command-name.ts";
import { UnsupportedPlatform, type ProcessInfo, type Processes } from "./process-info.ts";
import { ProcessTree } from "./process-tree.ts";
import { parseStat } from "./processes-linux.ts";
import { parsePs } from "./processes-macos.ts";
import { systemProcesses } from "./system-processes.ts";

const noMarker = () => false;

/** A line of /proc/<pid>/stat. */
function stat(name: string, letter: string, { threads = 1, startedAt = 77 } = {}): string {
  return `42 (${name}) ${letter} 7 40 39 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 ${threads} 0 ${startedAt} 3133440 383\n`;
}

test("a process of Linux is read whatever its name holds", () => {
  for (const name of ["bash", "a b", "x) R 1 1 1 (y", "tmux: server", ""]) {
    expect(parseStat(stat(name, "S"), noMarker)).toMatchObject({
      pid: 42,
      name,
      parent: 7,
      group: 40,
      session: 39,
      startedAt: "77",
      state: "running",
    });
  }
});

test.each([
  ["R", 1, "running"],
  ["S", 1, "running"],
  ["T", 1, "stopped"],
  ["t", 1, "stopped"],
  ["D", 1, "blocked"],
  ["Z", 1, "ended"],
  // The main thread has ended, others have not.
  ["Z", 3, "running"],
  ["X", 1, "ended"],
])("state %s with %d threads is %s", (letter, threads, state) => {
  expect(parseStat(stat("x", letter, { threads }), noMarker)?.state).toBe(state);
});

test("half a line is no process", () => {
  expect(parseStat("", noMarker)).toBeUndefined();
  expect(parseStat("42 (bash) R 7 40", noMarker)).toBeUndefined();
});

test("processes of macOS are read from ps, with their markers", () => {
  const output = [
    "    1     0     1 Ss   Sat Nov 21 08:00:01 2026 /sbin/launchd",
    "  501     1   501 S+   Sat Nov  7 12:30:08 2026 /bin/zsh -c sleep 1 PATH=/usr/bin SIGNALBOX_RUN=aa:bb HOME=/Users/x",
    "  502   501   501 T    Sat Nov  7 12:30:09 2026 (sleep)",
    "  503   501   501 U    Sat Nov  7 12:30:09 2026 /usr/bin/dd SIGNALBOX_RUN=bb",
    "  504   501   501 Z    Sat Nov  7 12:30:09 2026 (true)",
    "",
  ].join("\n");
  const found = parsePs(output);
  expect(found.map(({ pid, parent, group, state, name }) => [pid, parent, group, state, name])).toEqual([
    [1, 0, 1, "running", "launchd"],
    [501, 1, 501, "running", "zsh"],
    [502, 501, 501, "stopped", "(sleep)"],
    [503, 501, 501, "blocked", "dd"],
    [504, 501, 501, "ended", "(true)"],
  ]);
  expect(found.map((each) => ["aa", "bb", "cc"].filter((marker) => each.hasMarker(marker)))).toEqual([
    [],
    ["aa", "bb"],
    [],
    ["bb"],
    [],
  ]);
  expect(found[1]?.startedAt).toBe("Sat Nov  7 12:30:08 2026");
});

test("Windows hears one clear sentence", () => {
  expect(() => systemProcesses("win32")).toThrow(UnsupportedPlatform);
  expect(() => systemProcesses("win32")).toThrow(/^Signalbox cannot run commands on Windows: /);
});

/** A machine with the processes that a test names. */
function machine(processes: readonly Partial<ProcessInfo>[]): Processes & { now: readonly ProcessInfo[] } {
  const whole = (each: Partial<ProcessInfo>): ProcessInfo => ({
    pid: 0,
    parent: 1,
    group: each.pid ?? 0,
    session: each.pid ?? 0,
    startedAt: "1",
    state: "running",
    name: "x",
    hasMarker: noMarker,
    ...each,
  });
  const self = { now: [whole({ pid: 1, parent: 0 }), whole({ pid: process.pid }), ...processes.map(whole)] };
  return Object.assign(self, {
    list: async () => [...self.now],
    isSame: ({ pid, startedAt }: ProcessInfo) =>
      self.now.some((each) => each.pid === pid && each.startedAt === startedAt),
    startOf: (pid: number) => self.now.find((each) => each.pid === pid)?.startedAt,
  });
}

const pids = (processes: readonly ProcessInfo[]) => processes.map(({ pid }) => pid);

test("a pid that is somebody else's by now is not followed, and not signalled", async () => {
  const before = machine([
    { pid: 900_001, startedAt: "5" },
    { pid: 900_002, parent: 900_001, group: 900_001, session: 900_001 },
  ]);
  const tree = new ProcessTree({ marker: "m" }, before);
  tree.plant(900_001);
  const [root] = await tree.look();
  expect(root?.pid).toBe(900_001);
  before.now = machine([
    { pid: 900_001, startedAt: "9" },
    { pid: 900_003, parent: 900_001, session: 900_001 },
  ]).now;
  expect(await tree.look()).toEqual([]);
  if (root) expect(tree.signal(root, "SIGKILL")).toBe("gone");
});

test("process 1, this process and its ancestors never belong, whatever they carry", async () => {
  const marked = { hasMarker: () => true };
  const tree = new ProcessTree({ marker: "m" }, machine([{ pid: 900_001, ...marked }]));
  const all = machine([{ pid: 900_001, ...marked }]);
  all.now = all.now.map((each) => ({ ...each, ...marked, ...(each.pid === process.pid ? { parent: 900_001 } : {}) }));
  expect(await new ProcessTree({ marker: "m" }, all).look()).toEqual([]);
  expect(pids(await tree.look())).toEqual([900_001]);
});

test("whoever has left the group, the session and the family is found by what it carries, with all that it has started", async () => {
  const tree = new ProcessTree(
    { marker: "m" },
    machine([
      { pid: 900_010, hasMarker: (marker) => marker === "m" },
      { pid: 900_011, parent: 900_010 },
      { pid: 900_012, parent: 1, session: 900_011 },
      { pid: 900_013, parent: 1, hasMarker: (marker) => marker === "other" },
    ]),
  );
  expect(pids(await tree.look())).toEqual([900_010, 900_012, 900_011]);
});

test("colours are asked for unless somebody has decided", () => {
  const env = (base: Record<string, string>, tty = false) => commandEnvironment(base, { marker: "m", tty });
  expect(env({})).toEqual({ FORCE_COLOR: "1", CLICOLOR_FORCE: "1", PYTHONUNBUFFERED: "1", SIGNALBOX_RUN: "m" });
  expect(env({ NO_COLOR: "1" })).toEqual({ NO_COLOR: "1", PYTHONUNBUFFERED: "1", SIGNALBOX_RUN: "m" });
  expect(env({ FORCE_COLOR: "0" }).FORCE_COLOR).toBe("0");
  expect(env({ TERM: "dumb" }, true)).toEqual({ TERM: "dumb", PYTHONUNBUFFERED: "1", SIGNALBOX_RUN: "m" });
});

test("a run inside a run belongs to both", () => {
  expect(commandEnvironment({ SIGNALBOX_RUN: "outer" }, { marker: "inner" }).SIGNALBOX_RUN).toBe("outer:inner");
});

test.each([
  [["/usr/bin/tar", "czf", "a b.tgz", "."], 'tar czf "a b.tgz" .'],
  [["make"], "make"],
  [["sh", "-c", "echo\n\x1b[31mhi"], 'sh -c "echo\\n\\u001b[31mhi"'],
  [["x", "y".repeat(300)], `x ${"y".repeat(97)}…`],
])("a command gives its job a name: %j", (words, name) => {
  expect(commandName(words)).toBe(name);
});
