import { execFile, execFileSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { packageFolders } from "./build-packages.ts";
import { freePorts, runCommand, runProgram, type Program } from "./programs.ts";

// What people install: packed, installed by npm into an empty folder far from this repository, and used there.

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "signalbox-packages-"));
const tarballs = join(folder, "tarballs");
const project = join(folder, "project");
const signalbox = join(project, "node_modules/@signalbox/cli/bin/signalbox.cjs");
const registry = execFileSync("npm", ["config", "get", "registry"], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "ignore"],
}).trim();
const offline = await fetch(registry, { signal: AbortSignal.timeout(10_000) }).then(
  () => undefined,
  () => `the npm registry ${registry} cannot be reached`,
);

/** The Nodes that the packages promise to run on. */
const nodes = {
  "Node 22": join(folder, "node22/node_modules/node/bin/node"),
  "Node 24": process.execPath,
};

interface Manifest {
  readonly name: string;
  readonly exports?: Record<string, unknown>;
  readonly bin?: Record<string, string>;
  readonly publishConfig?: unknown;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}
const manifestIn = (at: string) => JSON.parse(readFileSync(join(at, "package.json"), "utf8")) as Manifest;

/** Runs a program to its end, in the project. Its environment is this one and `env`. */
async function execute(command: string, args: readonly string[], env: Record<string, string> = {}, cwd = project) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(command, args, { cwd, env: { ...process.env, ...env } }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** The code block of a package's README. */
async function sampleOf(path: string): Promise<string> {
  return /^```ts\n(.*?)^```/ms.exec(await readFile(join(root, path, "README.md"), "utf8"))?.[1] ?? "";
}

/** A server of this repository, and the environment in which an installed package finds it. */
let server: Program;
let env: Record<string, string>;

async function npmInstall(at: string, ...what: string[]): Promise<void> {
  await mkdir(at, { recursive: true });
  await writeFile(join(at, "package.json"), JSON.stringify({ type: "module", private: true }));
  const { code, stderr } = await execute(
    "npm",
    ["install", "--no-audit", "--no-fund", "--prefer-offline", ...what],
    {},
    at,
  );
  if (code !== 0) throw new Error(`npm install failed: ${stderr}`);
}

beforeAll(async () => {
  if (offline) return;
  const data = join(folder, "data");
  const [port = 0, workerPort = 0] = await freePorts(2);
  env = { SIGNALBOX_DATA: data, SIGNALBOX_URL: `http://127.0.0.1:${workerPort}` };
  server = runProgram("apps/server/src/main.ts", {
    SIGNALBOX_DATA: data,
    SIGNALBOX_PORT: String(port),
    SIGNALBOX_WORKER_PORT: String(workerPort),
    SIGNALBOX_OPEN: "off",
    SIGNALBOX_BUILT_IN_WORKER: "off",
  });
  const packed = async () => {
    const { code, stdout, stderr } = await execute(
      process.execPath,
      [join(root, "scripts/pack.ts"), tarballs],
      {},
      root,
    );
    if (code !== 0) throw new Error(`nothing was packed: ${stdout}${stderr}`);
    await npmInstall(project, ...readdirSync(tarballs).map((name) => join(tarballs, name)));
    await writeSamples();
  };
  await Promise.all([packed(), npmInstall(join(folder, "node22"), "node@22"), server.printed(/#code=\S+/)]);
}, 300_000);

beforeEach((context) => context.skip(offline !== undefined, offline));

afterAll(async () => {
  await server?.kill("SIGTERM");
  await rm(folder, { recursive: true });
});

/** The samples of the READMEs as TypeScript, and a tsconfig that builds them as strictly as can be. */
async function writeSamples(): Promise<void> {
  await writeFile(join(project, "worker.ts"), await sampleOf("packages/worker"));
  await writeFile(join(project, "client.ts"), await sampleOf("packages/protocol"));
  await writeFile(
    join(project, "commands.ts"),
    `import { startWorker } from "@signalbox/worker";
     import { commandJob } from "@signalbox/worker/process";
     export const worker = await startWorker({ jobs: [commandJob()] });
     // @ts-expect-error: a worker has jobs
     await startWorker({});`,
  );
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    target: "es2022",
    module: "nodenext",
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
  };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
}

describe("an installed package", () => {
  test("holds what was built, its README, and nothing else", () => {
    for (const packageFolder of packageFolders) {
      const source = manifestIn(join(root, packageFolder));
      const at = join(project, "node_modules", source.name);
      const installed = manifestIn(at);
      const files = readdirSync(at, { recursive: true, withFileTypes: true }).flatMap((entry) =>
        entry.isFile() ? [join(entry.parentPath, entry.name).slice(at.length + 1)] : [],
      );
      expect(files).toEqual(expect.arrayContaining(["package.json", "README.md"]));
      expect(files.filter((file) => !/^(package\.json|README\.md|(dist|bin)\/.*)$/.test(file))).toEqual([]);
      expect(files.filter((file) => /test|fixture|(?<!\.d)\.ts$/i.test(file))).toEqual([]);
      // Every door of the sources is one of the package, but for those that only tests of this repository use.
      const doors = Object.keys(source.exports ?? {}).filter((door) => !door.endsWith("-for-tests"));
      expect(Object.keys(installed.exports ?? {})).toEqual(doors);
      const targets = JSON.stringify([installed.exports, installed.bin]).match(/(?<=":")\.\/[^"]+/g) ?? [];
      expect(targets.filter((target) => !existsSync(join(at, target)))).toEqual([]);
      expect(installed.publishConfig).toBeUndefined();
      expect(JSON.stringify([installed.dependencies, installed.optionalDependencies])).not.toMatch(
        /workspace:|catalog:/,
      );
    }
  });

  test(
    "has declarations that a strict compiler takes, with either way to find modules",
    { timeout: 60_000 },
    async () => {
      const tsc = join(root, "node_modules/typescript/bin/tsc");
      const built = await execute(process.execPath, [tsc, "-p", "."]);
      expect(built).toEqual({ code: 0, stdout: "", stderr: "" });
      const bundled = ["-p", ".", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler"];
      expect((await execute(process.execPath, [tsc, ...bundled])).stdout).toBe("");
    },
  );
});

describe.each(Object.entries(nodes))("on %s", (_name, node) => {
  // Other names in a second try.
  const unique = (name: string) => `${name}-${randomUUID().slice(0, 8)}`;
  const run = (...args: string[]) => execute(node, [signalbox, ...args], env);

  test(
    "the worker of the README runs a job, and the command starts, follows and shows it",
    { timeout: 60_000 },
    async () => {
      const id = unique("checksum");
      const files = join(folder, id);
      await mkdir(files);
      for (const name of ["one", "two"]) await writeFile(join(files, name), name.repeat(1000));
      const worker = runCommand(node, [join(project, "worker.js")], { ...env, SIGNALBOX_WORKER_ID: id });
      onTestFinished(() => worker.kill("SIGKILL"));
      await expect.poll(async () => (await run("types", "--json")).stdout, { timeout: 20_000 }).toContain('"checksum"');

      const started = await run("start", "checksum", `folder=${files}`, "--name", id, "--wait");
      expect(started).toMatchObject({ code: 0 });
      const line = (name: string) => `${createHash("sha256").update(name.repeat(1000)).digest("hex")}  ${name}\n`;
      const logs = await run("logs", id, "--raw");
      expect(logs).toEqual({ code: 0, stdout: line("one") + line("two"), stderr: "" });
      expect((await run("jobs")).stdout).toContain(id);

      // The client of the protocol's README prints the same.
      const token = (await readFile(join(folder, "data", "token"), "utf8")).trim();
      const client = await execute(node, [join(project, "client.js")], { ...env, SIGNALBOX_TOKEN: token });
      expect(client.stdout).toContain(`${id}\n${line("one")}${line("two")}`);

      await worker.kill("SIGTERM");
      expect(worker.process.exitCode).toBe(0);
    },
  );

  test("a program runs as a job and passes on how it ended", { timeout: 60_000 }, async () => {
    const script = "console.log('out'); console.error('err'); process.exit(7)";
    const name = unique("program");
    const ended = await run("run", "--name", name, "--", node, "-e", script);
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([7, "out\n", "err\n"]);
    await expect
      .poll(async () => (await run("logs", name, "--raw")).stdout, { timeout: 20_000 })
      .toMatch(/^(out\nerr|err\nout)\n$/);
    expect((await run("job", name, "--json")).stdout).toContain("FAILED");
  });

  test("the command serves the room with its page and its first job", { timeout: 60_000 }, async () => {
    const data = join(folder, unique("served"));
    const [port, workerPort] = await freePorts(2);
    const serving = runCommand(
      node,
      [signalbox, "serve", "--data", data, "--port", String(port), "--worker-port", String(workerPort), "--no-open"],
      {},
    );
    onTestFinished(() => serving.kill("SIGKILL"));
    const [, origin = ""] = await serving.printed(/(http:\/\/localhost:\d+)\/#code=\S+/);
    expect(serving.output()).toContain("'signalbox link' prints another one");
    expect(serving.output()).not.toContain("ExperimentalWarning");
    const page = await fetch(origin);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining("<title>Signalbox</title>")]);
    const served = { SIGNALBOX_DATA: data, SIGNALBOX_URL: `http://127.0.0.1:${workerPort}` };
    await expect
      .poll(async () => (await execute(node, [signalbox, "jobs", "--json"], served)).stdout, { timeout: 20_000 })
      .toContain('"index"');
    expect((await execute(node, [signalbox, "link"], served)).stdout).toMatch(/^http:\/\/localhost:\d+\/#code=\S+\n$/);
    await serving.kill("SIGTERM");
    expect(serving.process.exitCode).toBe(0);
  });
});

test("without the server's package the command says what to install", async () => {
  const installed = join(project, "node_modules/@signalbox/server");
  await rename(installed, `${installed}-away`);
  onTestFinished(() => rename(`${installed}-away`, installed));
  const { code, stderr } = await execute(process.execPath, [signalbox, "serve"], { NODE_PATH: "" });
  expect([code, stderr]).toEqual([
    1,
    expect.stringContaining("@signalbox/server is not installed.\nInstall it with: npm install @signalbox/server\n"),
  ]);
});

describe("on a Node that is too old", () => {
  const older = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((at) => join(at, "node"))
    .find(
      (node) => existsSync(node) && Number(/\d+/.exec(execFileSync(node, ["--version"], { encoding: "utf8" }))) < 22,
    );
  const reason = older ? undefined : "no Node older than 22 is on the PATH";

  test("the command and the worker say so in one sentence", async (context) => {
    context.skip(reason !== undefined, reason);
    const command = await execute(older ?? "", [signalbox, "jobs"], env);
    expect([command.code, command.stderr]).toEqual([
      1,
      expect.stringMatching(/^signalbox needs Node 22\.16 or newer, and this is Node \d+\.\d+\.\d+\.\n$/),
    ]);
    const worker = await execute(older ?? "", [join(project, "worker.js")], env);
    expect(worker.code).toBe(1);
    expect(worker.stderr).toMatch(/@signalbox\/worker needs Node 22\.2 or newer, and this is Node \d+\.\d+\.\d+\./);
    expect(worker.stderr).not.toMatch(/^\s+at /m);
  });
});
