import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { runBuiltInWorker, type BuiltInWorkerOptions } from "./built-in-worker.ts";
import { temporaryFolder } from "./http/test-listeners.ts";
import { createLogger } from "./logger.ts";

/** Runs a small program in the place of the built-in worker. */
async function run(program: string, pauses: BuiltInWorkerOptions["pauses"] = {}, commands = false) {
  const dataFolder = await temporaryFolder();
  const path = join(dataFolder, "program.mjs");
  await writeFile(path, program);
  const log: Record<string, unknown>[] = [];
  const logger = createLogger({
    level: "debug",
    readable: false,
    destination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
  });
  const worker = runBuiltInWorker({
    workerUrl: "http://127.0.0.1:9",
    tokenFile: join(dataFolder, "token"),
    dataFolder,
    commands,
    logger,
    program: path,
    pauses,
  });
  onTestFinished(() => worker.stop(0));
  const said = async () => readFile(join(dataFolder, "built-in-worker.log"), "utf8").catch(() => "");
  const logged = (words: string) => log.filter(({ msg }) => String(msg).includes(words));
  return { worker, dataFolder, said, logged };
}

test("the worker is told where the server, the token and the data are", async () => {
  const { dataFolder, said } = await run(
    `const { SIGNALBOX_URL, SIGNALBOX_TOKEN_FILE, SIGNALBOX_DATA, SIGNALBOX_WORKER_ID } = process.env;
     console.log([SIGNALBOX_URL, SIGNALBOX_TOKEN_FILE, SIGNALBOX_DATA, SIGNALBOX_WORKER_ID].join("|"));
     setInterval(() => {}, 1000);`,
  );
  await expect.poll(said).toBe(`http://127.0.0.1:9|${dataFolder}/token|${dataFolder}|built-in\n`);
});

test.each([
  [false, "off"],
  [true, "on"],
])("whether it runs commands (%s) does not depend on what it inherits", async (commands, told) => {
  vi.stubEnv("SIGNALBOX_BUILT_IN_COMMANDS", commands ? "off" : "on");
  onTestFinished(() => void vi.unstubAllEnvs());
  const { said } = await run(
    `console.log(process.env.SIGNALBOX_BUILT_IN_COMMANDS); setInterval(() => {}, 1000);`,
    {},
    commands,
  );
  await expect.poll(said).toBe(`${told}\n`);
});

test("a worker that is asked to end may first say what becomes of its jobs", async () => {
  const { worker, said } = await run(
    `process.on("SIGTERM", () => setTimeout(() => { console.log("released"); process.exit(0); }, 100));
     console.log("ready");
     setInterval(() => {}, 1000);`,
  );
  await expect.poll(said).toBe("ready\n");
  await Promise.all([worker.stop(), worker.stop()]);
  expect(await said()).toBe("ready\nreleased\n");
});

test("a worker that does not end is killed after its grace", async () => {
  const { worker, said, logged } = await run(
    `process.on("SIGTERM", () => console.log("no"));
     console.log(process.pid);
     setInterval(() => {}, 1000);`,
  );
  await expect.poll(said).toMatch(/^\d+\n$/);
  const pid = Number(await said());
  await worker.stop(200);
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  expect(logged("does not end: killed")).toHaveLength(1);
});

test("a worker that crashes is started again, ever more slowly, and its last words go to the log", async () => {
  const { logged } = await run(`console.error("out of cheese"); process.exit(3);`, { afterCrash: 5 });
  await expect.poll(() => logged("crashed").length).toBeGreaterThanOrEqual(4);
  expect(logged("crashed").slice(0, 4)).toMatchObject([5, 10, 20, 40].map((againInMs) => ({ exitCode: 3, againInMs })));
  expect(logged("built-in worker: out of cheese").length).toBeGreaterThanOrEqual(4);
});

test("when another one runs already this one ends quietly, and is tried again later without a word", async () => {
  const { said, logged } = await run(`console.log("x");`, { afterQuietEnd: 20 });
  await expect.poll(async () => (await said()).length).toBeGreaterThanOrEqual(6);
  expect(logged("another built-in worker is running")).toHaveLength(1);
  expect(logged("crashed")).toEqual([]);
});

test("the worker is in a session of its own: Ctrl+C in a terminal goes to the server alone", async () => {
  const { said } = await run(`console.log(process.pid); setInterval(() => {}, 1000);`);
  await expect.poll(said).toMatch(/^\d+\n$/);
  const pid = Number(await said());
  const processGroup = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]!.split(" ")[2];
  expect(Number(processGroup)).toBe(pid);
});

test("an old log of more than a megabyte begins anew", async () => {
  const dataFolder = await temporaryFolder();
  const [program, path] = [join(dataFolder, "program.mjs"), join(dataFolder, "built-in-worker.log")];
  await writeFile(program, `console.log("fresh"); setInterval(() => {}, 1000);`);
  await writeFile(path, "o".repeat(1024 * 1024 + 1));
  const logger = createLogger({ level: "silent", readable: false });
  const worker = runBuiltInWorker({ workerUrl: "", tokenFile: "", dataFolder, logger, program });
  onTestFinished(() => worker.stop(0));
  await expect.poll(() => readFile(path, "utf8")).toBe("fresh\n");
  expect(await readFile(`${path}.1`, "utf8")).toHaveLength(1024 * 1024 + 1);
});
