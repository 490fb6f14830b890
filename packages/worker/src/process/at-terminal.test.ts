import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import { roomForTests } from "../room-for-tests.ts";
import { linuxProcesses } from "./processes-linux.ts";
import { startOnTerminal } from "./pty.ts";
import type { RunCommandOptions } from "./run-command.ts";

// Supervisors that a person has started at a terminal, which is a real one.

vi.setConfig({ testTimeout: 60_000 });
const room = roomForTests();
const main = fileURLToPath(new URL("./run-command-for-tests.ts", import.meta.url));
const patient = { timeout: 30_000, interval: 30 };

const ctrlC = "\x03";
const ctrlD = "\x04";
const ctrlZ = "\x1a";

/** Starts a program on a terminal. */
async function atTerminal(command: readonly string[], options: Partial<RunCommandOptions> = {}) {
  const { FORCE_COLOR: _, ...env } = process.env;
  const program = await startOnTerminal(
    {
      command,
      cwd: "/tmp",
      env: {
        ...(env as Record<string, string>),
        PS1: "$ ",
        SIGNALBOX_RUN_OPTIONS: JSON.stringify({ url: room.server.url, token: room.server.token, ...options }),
      },
    },
    { columns: 100, rows: 30 },
  );
  let screen = "";
  for (const { stream } of program.outputs)
    stream.on("data", (bytes: Buffer) => (screen += bytes.toString())).on("error", () => undefined);
  onTestFinished(() => {
    program.input.destroy();
    try {
      process.kill(program.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  });
  return {
    ...program,
    screen: () => screen,
    type: (text: string) => void program.input.write(text),
    shows: (text: string | RegExp) => vi.waitFor(() => expect(screen).toMatch(text), patient),
  };
}

const run = (words: readonly string[], options?: Partial<RunCommandOptions>) =>
  atTerminal([process.execPath, main, ...words], options);

test("lines that are typed are the command's input, and Ctrl+D ends it", async () => {
  const terminal = await run(["sh", "-c", "read x; echo got $x; cat; echo over"]);
  terminal.type("hello\n");
  await terminal.shows("got hello");
  terminal.type("more\n");
  await terminal.shows(/more\r\nmore/);
  terminal.type(ctrlD);
  expect(await terminal.exited).toEqual({ code: 0 });
  expect(terminal.screen()).toContain("over");
});

test("Ctrl+C ends the command as it would without a supervisor", async () => {
  const terminal = await run(["sh", "-c", "echo ready; sleep 1001; true"]);
  await terminal.shows("ready");
  terminal.type(ctrlC);
  expect(await terminal.exited).toEqual({ code: 130 });
});

const probe = `test -t 1 && echo terminal || echo pipe; trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done`;

test("the command is on pipes unless it is given a terminal", async () => {
  const pipes = await run(["bash", "-c", probe]);
  await pipes.shows("pipe\r\n");
});

test("a terminal of its own has the size of this window, and follows it", async () => {
  const terminal = await run(["bash", "-c", probe], { tty: true });
  await terminal.shows(/terminal\r\n30 100\r\nready\r\n/);
  terminal.resize?.({ columns: 120, rows: 40 });
  await terminal.shows("40 120\r\n");
});

test("keys go to a command with a terminal as they are: Ctrl+C is that terminal's, and so is the echo", async () => {
  const terminal = await run(
    ["bash", "-c", `trap 'echo interrupted' INT; read -rsn1 key; echo "key=$key"; read x; echo "got $x"`],
    {
      tty: true,
    },
  );
  // Before the local terminal is raw, it would keep the key until a newline came.
  await vi.waitFor(() => {
    terminal.type("k");
    expect(terminal.screen()).toContain("key=k");
  }, patient);
  terminal.type(ctrlC);
  await terminal.shows("interrupted");
  terminal.type("\nline\n");
  expect(await terminal.exited).toEqual({ code: 0 });
});

test("in a shell it can be stopped, continued, and run in the background without being stopped by its own reading", async () => {
  const shell = await atTerminal(["bash", "--norc", "--noprofile", "-i"]);
  const state = async (name: string) =>
    (await linuxProcesses.list()).find((each) => each.name === name && each.session === shell.pid)?.state;
  shell.type(`${process.execPath} ${main} bash -c 'echo own=$$; cat'\n`);
  await shell.shows(/own=\d+\r\n/);
  const own = Number(/own=(\d+)\r\n/.exec(shell.screen())?.[1]);
  const ownState = async () => (await linuxProcesses.list()).find(({ pid }) => pid === own)?.state;
  shell.type(ctrlZ);
  await shell.shows(/Stopped/);
  expect(await ownState()).toBe("stopped");
  shell.type("bg\n");
  await vi.waitFor(async () => expect(await ownState()).toBe("running"), patient);
  // What is typed now is for the shell.
  shell.type("echo shell $((6*7))\n");
  await shell.shows("shell 42");
  shell.type("jobs\n");
  await shell.shows(/Running/);
  shell.type("fg\n");
  // What comes while the shell hands the terminal over is lost to either: so it is typed until it arrives.
  await vi.waitFor(
    () => {
      shell.type("for the command\n");
      expect(shell.screen()).toMatch(/for the command\r\nfor the command/);
    },
    { timeout: 30_000, interval: 1000 },
  );
  shell.type(ctrlC);
  await shell.shows(/\$ $/);
  shell.type("echo code $?\n");
  await shell.shows("code 130");
  expect(await state("node")).toBeUndefined();
});
