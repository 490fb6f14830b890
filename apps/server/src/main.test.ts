import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { JobService } from "@signalbox/protocol";
import { expect, onTestFinished, test } from "vitest";
import { ask, grpc, temporaryFolder } from "./http/test-listeners.ts";
import type { ServerFile } from "./server-file.ts";

interface Run {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Exit code, once the process has ended. */
  readonly exit: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** Runs a program of this folder with nothing in its environment but what is given. */
function run(program: "main.ts" | "link.ts", env: Record<string, string>, args: readonly string[] = []): Run {
  const child = spawn(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), ...args], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    pid: child.pid!,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    exit: once(child, "close").then(([code]) => code as number | null),
    kill: (signal) => void child.kill(signal),
  };
}

const freePorts = { SIGNALBOX_PORT: "0", SIGNALBOX_WORKER_PORT: "0" };

async function start(dataFolder: string, env: Record<string, string> = {}) {
  const server = run("main.ts", {
    SIGNALBOX_DATA: dataFolder,
    SIGNALBOX_BUILT_IN_WORKER: "off",
    ...freePorts,
    ...env,
  });
  await expect.poll(() => server.stdout, { timeout: 10_000 }).toContain("Stop      Ctrl+C");
  const link = /^ *(http:\S+)$/m.exec(server.stdout)?.[1] ?? "";
  const file = JSON.parse(await readFile(join(dataFolder, "server.json"), "utf8")) as ServerFile;
  return { server, link, file };
}

async function signIn(link: string) {
  const { origin, hash } = new URL(link);
  const body = JSON.stringify({ code: hash.replace("#code=", "") });
  return ask(origin, "/auth/session", { method: "POST", headers: { "content-type": "application/json" }, body });
}

/** The process id that the server's log gives of its built-in worker. The process is killed after the test. */
async function builtInWorkerOf(server: Run): Promise<number> {
  const line = /^.*worker started"?.*$/m;
  await expect.poll(() => server.stderr, { timeout: 10_000 }).toMatch(line);
  const { workerPid } = JSON.parse(line.exec(server.stderr)![0]) as { workerPid: number };
  onTestFinished(() => {
    if (isAlive(workerPid)) process.kill(workerPid, "SIGKILL");
  });
  return workerPid;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("the printed link signs in once, `link` prints another one, and SIGTERM ends in order", async () => {
  const folder = await temporaryFolder();
  const { server, link, file } = await start(folder);
  expect((await signIn(link)).status).toBe(204);
  expect((await signIn(link)).status).toBe(401);
  expect((await ask(file.operatorUrl, "/readyz")).status).toBe(200);

  const again = run("link.ts", { SIGNALBOX_DATA: folder });
  expect(await again.exit).toBe(0);
  expect((await signIn(again.stdout.trim())).status).toBe(204);

  const token = (await readFile(join(folder, "token"), "utf8")).trim();
  const jobs = createClient(JobService, grpc(file.workerUrl, { authorization: `Bearer ${token}` }));
  expect((await jobs.listJobs({})).jobs).toEqual([]);

  server.kill("SIGTERM");
  expect(await server.exit).toBe(0);
  expect(await readdir(folder)).not.toContain("server.json");
  // Neither the token nor a code was ever logged.
  for (const secret of [token, new URL(link).hash.slice(6)]) expect(server.stderr).not.toContain(secret);
  const gone = run("link.ts", { SIGNALBOX_DATA: folder });
  expect(await gone.exit).toBe(1);
  expect(gone.stderr).toBe(`No Signalbox server runs with the data folder ${folder}. Start one with: npm start\n`);
});

test("a second server on the same data folder says who has it and ends with 1; the first one goes on", async () => {
  const folder = await temporaryFolder();
  const { server, file } = await start(folder);
  const second = run("main.ts", { SIGNALBOX_DATA: folder, ...freePorts });
  expect(await second.exit).toBe(1);
  expect(second.stderr).toContain(
    `already runs with the data folder ${folder} at ${file.origin} (process ${server.pid})`,
  );
  expect(second.stderr.trim().split("\n")).toHaveLength(1);
  expect((await ask(file.operatorUrl, "/readyz")).status).toBe(200);
  expect(JSON.parse(await readFile(join(folder, "server.json"), "utf8"))).toEqual(file);
});

test.each(["SIGNALBOX_PORT", "SIGNALBOX_WORKER_PORT"])(
  "a port of %s that is in use is one clear sentence",
  async (setting) => {
    for (const host of ["127.0.0.1", "::1"]) {
      const other = createServer().listen({ port: 0, host, ipv6Only: host === "::1" });
      onTestFinished(() => void other.close());
      await once(other, "listening");
      const { port } = other.address() as { port: number };
      const server = run("main.ts", { SIGNALBOX_DATA: await temporaryFolder(), ...freePorts, [setting]: String(port) });
      expect(await server.exit).toBe(1);
      expect(server.stderr).toBe(
        `Port ${port} is used by another program: stop that program, or set ${setting} to another port.\n`,
      );
      expect(server.stdout).toBe("");
    }
  },
);

test("a setting that cannot be used is one clear sentence", async () => {
  const server = run("main.ts", { SIGNALBOX_DATA: await temporaryFolder(), SIGNALBOX_PORT: "http" });
  expect(await server.exit).toBe(1);
  expect(server.stderr).toBe('SIGNALBOX_PORT is "http": it must be a port, 1 to 65535, or 0 for any free one.\n');
});

test.each(["--nope", "--port=abc", "--worker-port=99999"])(
  "a command line that cannot be understood (%s) ends with 2",
  async (word) => {
    const server = run("main.ts", { SIGNALBOX_DATA: await temporaryFolder() }, [word]);
    expect(await server.exit).toBe(2);
    expect(server.stderr).toMatch(/^[^\n]+ Try --help\.\n$/);
  },
);

test("a token file that was damaged is one clear sentence", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "token"), "oops");
  const server = run("main.ts", { SIGNALBOX_DATA: folder, ...freePorts });
  expect(await server.exit).toBe(1);
  expect(server.stderr).toContain(`${folder}/token does not hold a Signalbox secret: delete the file`);
});

test("a data folder that cannot be made is one clear sentence", async () => {
  const file = join(await temporaryFolder(), "file");
  await writeFile(file, "");
  const server = run("main.ts", { SIGNALBOX_DATA: join(file, "data"), ...freePorts });
  expect(await server.exit).toBe(1);
  expect(server.stderr).toMatch(
    /^The data folder \S+data cannot be used: ENOTDIR.* SIGNALBOX_DATA, or make it yours\.\n$/,
  );
});

test.runIf(process.platform === "linux").each(["/proc/x", "/proc/x/y"])(
  "a data folder below a system's own (%s) cannot be made, which is said at once",
  async (folder) => {
    const server = run("main.ts", { SIGNALBOX_DATA: folder, ...freePorts });
    expect(await server.exit).toBe(1);
    expect(server.stderr).toMatch(
      /^The data folder \S+ cannot be used: ENOENT.* Name another one in SIGNALBOX_DATA, or make it yours\.\n$/,
    );
  },
);

test("a cookie and the token outlive a kill -9 of the server", async () => {
  const folder = await temporaryFolder();
  const first = await start(folder);
  const cookie = (await signIn(first.link)).headers["set-cookie"]![0]!.split(";")[0]!;
  const token = await readFile(join(folder, "token"), "utf8");
  first.server.kill("SIGKILL");
  await first.server.exit;
  const again = await start(folder, { SIGNALBOX_PORT: new URL(first.file.origin).port });
  expect((await ask(again.file.operatorUrl, "/auth/session", { headers: { cookie } })).status).toBe(200);
  expect(await readFile(join(folder, "token"), "utf8")).toBe(token);
});

test("the built-in worker outlives a kill -9 of the server, finds the next one, and ends with that one", async () => {
  const folder = await temporaryFolder();
  const withWorker = { SIGNALBOX_BUILT_IN_WORKER: "on", SIGNALBOX_FIRST_JOB: "off", SIGNALBOX_LOG_LEVEL: "debug" };
  const first = await start(folder, withWorker);
  const worker = await builtInWorkerOf(first.server);
  await expect.poll(() => first.server.stderr, { timeout: 10_000 }).toContain("worker connected");
  first.server.kill("SIGKILL");
  await first.server.exit;

  const again = await start(folder, {
    ...withWorker,
    SIGNALBOX_PORT: new URL(first.file.origin).port,
    SIGNALBOX_WORKER_PORT: new URL(first.file.workerUrl).port,
  });
  await builtInWorkerOf(again.server);
  await expect.poll(() => again.server.stderr, { timeout: 10_000 }).toContain("another built-in worker is running");
  await expect.poll(() => again.server.stderr, { timeout: 10_000 }).toContain("worker connected");
  expect(isAlive(worker)).toBe(true);

  again.server.kill("SIGINT");
  expect(await again.server.exit).toBe(0);
  // Until whoever adopts orphans has taken notice.
  await expect.poll(() => isAlive(worker), { timeout: 10_000 }).toBe(false);
  expect(again.server.stderr).toContain("worker left");
}, 40_000);

test("the same signal twice at once counts once; a second one later ends at once with 128 and its number", async () => {
  const folder = await temporaryFolder();
  const { server } = await start(folder, {
    SIGNALBOX_BUILT_IN_WORKER: "on",
    SIGNALBOX_FIRST_JOB: "off",
    SIGNALBOX_LOG_LEVEL: "debug",
  });
  const worker = await builtInWorkerOf(server);
  await expect.poll(() => server.stderr, { timeout: 10_000 }).toContain("worker connected");
  // A worker that stands still makes the drain take its time.
  process.kill(worker, "SIGSTOP");
  server.kill("SIGTERM");
  server.kill("SIGTERM");
  const startedAt = performance.now();
  let ended = false;
  void server.exit.then(() => (ended = true));
  await expect
    .poll(
      () => {
        if (!ended) server.kill("SIGTERM");
        return ended;
      },
      { interval: 100 },
    )
    .toBe(true);
  expect(await server.exit).toBe(143);
  const tookMs = performance.now() - startedAt;
  expect(tookMs).toBeGreaterThan(400);
  expect(tookMs).toBeLessThan(4_000);
}, 40_000);
