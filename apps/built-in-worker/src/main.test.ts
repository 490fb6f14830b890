import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EndOutcome } from "@signalbox/protocol";
import { ServerForTests } from "@signalbox/worker/server-for-tests";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const main = fileURLToPath(new URL("main.ts", import.meta.url));
let data: string;
let server: ServerForTests;
let children: ChildProcess[];

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "signalbox-data-"));
  server = new ServerForTests();
  await server.start();
  await writeFile(join(data, "token"), `${server.token}\n`, { mode: 0o600 });
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }
  await server.stop();
  await rm(data, { recursive: true });
  expect(server.violations).toEqual([]);
});

function startProcess(dataFolder = data): ChildProcess {
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH,
      SIGNALBOX_URL: server.url,
      SIGNALBOX_TOKEN_FILE: join(data, "token"),
      SIGNALBOX_DATA: dataFolder,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  return child;
}

/** Starts the process and a slow job in it, and waits until the job works. */
async function startWithJob() {
  const child = startProcess();
  await server.until(() => server.isConnected, "the worker is connected");
  const attempt = server.assign("a", "index", { levers: [{ case: "speed", value: { itemsPerSecond: 20 } }] });
  await server.until(() => attempt.text.includes("file 2 of"), "the job is at work");
  return { child, attempt };
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

describe("the built-in worker's process", () => {
  test("is named built-in and has four slots", async () => {
    startProcess();
    await server.until(() => server.hellos.length > 0, "it says hello");
    expect(server.hellos[0]).toMatchObject({ workerId: "built-in", slots: 4 });
    expect(server.hellos[0]?.jobTypes.map(({ name }) => name)).toEqual(["index", "wordcount"]);
  });

  test("releases its jobs when it is asked to end", async () => {
    const { child, attempt } = await startWithJob();
    child.kill("SIGTERM");
    expect(await exitCode(child)).toBe(0);
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.RELEASED);
    expect(server.leavings).toHaveLength(1);
  });

  test("releases its jobs and exits when the server asks for it", async () => {
    const { child, attempt } = await startWithJob();
    server.drain(true);
    expect(await exitCode(child)).toBe(0);
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.RELEASED);
  });

  test.runIf(process.platform === "linux")("ends at once where its folder cannot be made", async () => {
    expect(await exitCode(startProcess("/proc/x"))).toBe(1);
  });

  test("leaves the place to the one that runs already", async () => {
    const { child, attempt } = await startWithJob();
    expect(await exitCode(startProcess())).toBe(0);
    const lines = attempt.lines.length;
    await server.until(() => attempt.lines.length > lines, "the first one works on");
    expect(child.exitCode).toBeNull();
    expect(server.hellos).toHaveLength(1);
  });

  test("works on while the server is gone and its output closed, and comes back with every line", async () => {
    const { child, attempt } = await startWithJob();
    const before = attempt.lines.length;
    child.stdout?.destroy();
    child.stderr?.destroy();
    await server.stop();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await server.start();
    await server.until(() => attempt.lines.length >= before + 12, "it goes on");
    const numbers = attempt.lines
      .flatMap((line) => /^file ([\d,]+) of/.exec(line)?.[1] ?? [])
      .map((n) => Number(n.replace(",", "")));
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));
    expect(new Set(server.hellos.map(({ incarnation }) => incarnation)).size).toBe(1);
  });
});
