import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { EndOutcome, Level, LeverOutcome, RunMode } from "@signalbox/protocol";
import { ServerForTests, type StoredAttempt } from "@signalbox/worker/server-for-tests";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { runProgram, type Program } from "./programs.ts";
import { run } from "./run.ts";

// The samples of docs/worker.md, as they stand there: type-checked, then run beside a server in memory.

const root = fileURLToPath(new URL("..", import.meta.url));
const page = await readFile(join(root, "docs/worker.md"), "utf8");
const samples = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, source = ""]) => source);
const offers = samples.map((source) => /^export const (\w+) = defineJob/m.exec(source)?.[1]);
const folder = await mkdtemp(join(tmpdir(), "signalbox-worker-page-"));

beforeAll(async () => {
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.base.json"),
      compilerOptions: { types: ["node"] },
      include: ["*.ts"],
    }),
  );
  await Promise.all(samples.map((source, i) => writeFile(join(folder, `sample-${i}.ts`), source)));
  const imports = offers.map((name, i) => (name ? `import { ${name} } from "./sample-${i}.ts";\n` : ""));
  await writeFile(
    join(folder, "all.ts"),
    `import { startWorker } from "@signalbox/worker";
     ${imports.join("")}
     await startWorker({ jobs: [${offers.filter(Boolean).join(", ")}] });`,
  );
});

afterAll(() => rm(folder, { recursive: true }));

/** Starts one of the programs beside a server of its own, which is checked for what a worker must not do. */
async function start(program: string): Promise<{ server: ServerForTests; worker: Program }> {
  const server = new ServerForTests();
  await server.start();
  const worker = runProgram(relative(root, join(folder, program)), {
    SIGNALBOX_URL: server.url,
    SIGNALBOX_TOKEN: server.token,
    SIGNALBOX_WORKER_ID: "page",
  });
  onTestFinished(async () => {
    await worker.kill("SIGKILL");
    await server.stop();
    expect(server.violations).toEqual([]);
  });
  await server.until(() => server.isConnected, "the worker is connected", 20_000);
  return { server, worker };
}

const outcome = (attempt: StoredAttempt) => attempt.report?.end?.outcome;
const reported = (attempt: StoredAttempt, generation: bigint) =>
  attempt.report?.levers.find((each) => each.generation === generation);

test("all samples type-check", { timeout: 60_000 }, async () => {
  expect(samples.length).toBe(offers.filter(Boolean).length + 2);
  expect((await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder])).ok).toBe(true);
});

test("the first sample is a whole worker", { timeout: 60_000 }, async () => {
  const { server, worker } = await start("sample-0.ts");
  const attempt = server.assign("greet", "greet", { parameters: { names: ["Ada", "Bob"] } });
  await server.until(() => attempt.endAccepted, "it has ended");
  expect([outcome(attempt), attempt.text]).toEqual([EndOutcome.SUCCEEDED, "Hello, Ada!\nHello, Bob!\n"]);
  await worker.kill("SIGTERM");
  expect(worker.process.exitCode).toBe(0);
});

test("the last sample begins its own job and ends", { timeout: 60_000 }, async () => {
  const { server, worker } = await start(`sample-${samples.length - 1}.ts`);
  await server.until(() => server.firstStarted?.endAccepted ?? false, "its job has ended");
  expect(server.firstStarted?.text).toBe("everything is tidy\n");
  await expect.poll(() => worker.process.exitCode, { timeout: 10_000 }).toBe(0);
});

describe("the samples between do what the page says:", () => {
  test("a job goes on where the attempt before was", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const info = { case: "logLevel", value: { level: Level.INFO } } as const;
    const first = server.assign("whole", "primes", { parameters: { below: 12 }, levers: [info] });
    const next = server.assign("next", "primes", {
      attempt: 2,
      parameters: { below: 12 },
      levers: [info],
      checkpoint: Buffer.from("8"),
    });
    await server.until(() => first.endAccepted && next.endAccepted, "both have ended");
    expect(first.lines).toEqual([2, 3, 5, 7, 11].map((number) => `${number} is prime`));
    expect(next.lines).toEqual(["11 is prime"]);
    const saved = first.reports.findLast(({ checkpoint }) => checkpoint.length > 0)?.checkpoint;
    expect(Buffer.from(saved ?? []).toString()).toBe("12");
  });

  test("a job without items says how far it is", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const attempt = server.assign("fill", "fill", { parameters: { megabytes: 2 } });
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(outcome(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.vitals.at(-1)).toMatchObject({ bytesDone: 2n * 1024n * 1024n, phase: "done" });
  });

  test("a job takes other parameters and refuses some", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const attempt = server.assign("remind", "remind", { parameters: { text: "drink", times: 10_000 } });
    await server.until(() => attempt.lines.length > 3, "it has said something");
    const refused = server.set(attempt, { case: "parameters", value: { parameters: { text: "eat", times: 1 } } });
    await server.until(() => reported(attempt, refused) !== undefined, "the worker has refused");
    expect(reported(attempt, refused)).toMatchObject({
      outcome: LeverOutcome.REJECTED,
      reason: expect.stringMatching(/^it was said \d+ times already$/) as unknown,
    });
    const times = attempt.lines.length + 20;
    server.set(attempt, { case: "parameters", value: { parameters: { text: "sleep", times } } });
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(attempt.lines.length).toBe(times);
    expect([...new Set(attempt.lines)]).toEqual(["drink", "sleep"]);
  });

  test("a job answers what it is sent", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const attempt = server.assign("ask", "ask");
    await server.until(() => attempt.text === "Who are you? ", "it has asked");
    server.send(attempt, "Ada\nBo");
    server.send(attempt, "b\n", { eof: true });
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(attempt.text).toBe("Who are you? Hello, Ada!\nWho else? Hello, Bob!\nWho else? Nobody.\n");
  });

  test("a job says what it has found out while its input comes, and in the end", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const attempt = server.assign("longest", "longest");
    server.send(attempt, "one\nthree\n");
    const found = () => attempt.vitals.findLast(({ results }) => results)?.results;
    await server.until(() => found()?.longest === 5, "it has found something");
    expect(found()).toEqual({ longest: 5, complete: false });
    server.send(attempt, "two\nsixteen", { eof: true });
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(attempt.report?.end?.results).toEqual({ longest: 7, complete: true });
  });

  test("a program is stopped by the system where it stands, and goes on", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const attempt = server.assign("crunch", "crunch");
    await server.until(() => attempt.report?.started === true, "it runs");
    for (const mode of [RunMode.PAUSE, RunMode.RUN]) {
      const generation = server.set(attempt, { case: "run", value: { mode, bySystem: true } });
      await server.until(() => reported(attempt, generation) !== undefined, "there is an answer");
      expect(reported(attempt, generation)?.outcome).toBe(LeverOutcome.APPLIED);
    }
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(outcome(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("a job says how it is tried again, and what the next attempt begins with", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    expect(server.hellos[0]?.jobTypes.find(({ name }) => name === "mirror")).toMatchObject({
      mostRunning: 2,
      retry: { mostAttempts: 5, backOffMs: 2000n, factor: 3, longestBackOffMs: 60_000n, whenLost: true },
      deadline: { afterMs: 600_000n, graceMs: 5000 },
    });
    const attempt = server.assign("mirror", "mirror");
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(attempt.report?.end).toMatchObject({
      outcome: EndOutcome.FAILED,
      reason: "the other side does not answer",
    });
    const saved = attempt.reports.findLast(({ checkpoint }) => checkpoint.length > 0)?.checkpoint;
    expect(String(Buffer.from(saved ?? []))).toBe("what the next attempt goes on from");
  });

  test("a job that steers a timer stands, goes on and ends when it is told to", { timeout: 60_000 }, async () => {
    const { server } = await start("all.ts");
    const attempt = server.assign("clock", "clock", { parameters: { ticks: 1_000_000 } });
    await server.until(() => attempt.lines.length > 2, "it ticks");
    const applied = async (mode: RunMode, graceMs = 0) => {
      const generation = server.set(attempt, { case: "run", value: { mode, graceMs } });
      await server.until(() => reported(attempt, generation) !== undefined, `mode ${mode} is applied`);
      return Number(reported(attempt, generation)?.atLine);
    };
    const at = await applied(RunMode.PAUSE);
    await server.roundTrip();
    expect(attempt.nextLine).toBeLessThanOrEqual(at);
    expect(await applied(RunMode.RUN)).toBe(at);
    await server.until(() => attempt.nextLine > at, "it ticks again");
    await applied(RunMode.CANCEL, 2_000);
    await server.until(() => attempt.endAccepted, "it has ended");
    expect(outcome(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.lines).toContain("stopping within 2000 ms");
  });
});
