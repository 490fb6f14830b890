import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ChunkBodySchema,
  ChunkBuilder,
  chunkFault,
  ChunkLines,
  detectLevel,
  JobService,
  JobState,
  Level,
  LogService,
  Source,
} from "@signalbox/protocol";
import { describe, expect, onTestFinished, test } from "vitest";
import { freePorts, runProgram } from "./programs.ts";
import { run } from "./run.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const pages = [
  "README.md",
  ...readdirSync(join(root, "docs")).flatMap((name) => (name.endsWith(".md") ? [`docs/${name}`] : [])),
];
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** What stands in the fenced blocks of a page that are marked with `language`. */
function blocks(page: string, language: string): string[] {
  return [...read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text ?? "");
}

/** The text of a page without its fenced blocks. */
function prose(page: string): string {
  return read(page).replaceAll(/^```.*?^```/gms, "");
}

/** The name of a level: the generated enums know only the other way. */
const levelName = (level: number) => Object.entries(Level).find(([, number]) => number === level)?.[0];

/** Rows of all tables of a page, as trimmed cells. */
function rows(page: string): string[][] {
  return prose(page)
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

describe("the worker in the README", () => {
  test(
    "type-checks, connects to a server that is started as the README says, and its job succeeds",
    { timeout: 60_000 },
    async () => {
      const [source = "", ...more] = blocks("README.md", "ts");
      expect(more).toEqual([]);
      const at = await mkdtemp(join(tmpdir(), "signalbox-docs-"));
      onTestFinished(() => rm(at, { recursive: true }));
      await symlink(join(root, "node_modules"), join(at, "node_modules"));
      await writeFile(join(at, "package.json"), JSON.stringify({ type: "module" }));
      await writeFile(join(at, "worker.ts"), source);
      await writeFile(
        join(at, "tsconfig.json"),
        JSON.stringify({
          extends: join(root, "tsconfig.base.json"),
          compilerOptions: { types: ["node"] },
          include: ["worker.ts"],
        }),
      );
      expect((await run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", at])).ok).toBe(true);

      const [port = 0, workerPort = 0] = await freePorts(2);
      const data = join(at, "data");
      const settings = {
        SIGNALBOX_DATA: data,
        SIGNALBOX_PORT: String(port),
        SIGNALBOX_WORKER_PORT: String(workerPort),
      };
      const server = runProgram("apps/server/src/main.ts", {
        ...settings,
        SIGNALBOX_OPEN: "off",
        SIGNALBOX_BUILT_IN_WORKER: "off",
      });
      onTestFinished(() => server.kill("SIGTERM"));
      await server.printed(/#code=\S+/);
      const token = (await readFile(join(data, "token"), "utf8")).trim();
      const worker = runProgram(relative(root, join(at, "worker.ts")), {
        ...settings,
        SIGNALBOX_URL: `http://127.0.0.1:${workerPort}`,
        SIGNALBOX_WORKER_ID: "readme",
      });
      onTestFinished(() => worker.kill("SIGKILL"));

      const transport = createGrpcTransport({
        baseUrl: `http://127.0.0.1:${workerPort}`,
        interceptors: [
          (next) => (request) => {
            request.header.set("authorization", `Bearer ${token}`);
            return next(request);
          },
        ],
      });
      const jobs = createClient(JobService, transport);
      await expect
        .poll(async () => (await jobs.listJobTypes({})).types.map(({ type }) => type?.name), { timeout: 10_000 })
        .toEqual(["count"]);
      const { job } = await jobs.startJob({ requestId: "readme", type: "count", parameters: { to: 12 } });
      const jobId = job?.id ?? "";
      await expect
        .poll(async () => (await jobs.getJob({ jobId })).job?.state, { timeout: 10_000 })
        .toBe(JobState.SUCCEEDED);
      const { entries } = await createClient(LogService, transport).readLogs({ jobId });
      const text = entries.map(({ entry }) =>
        entry.case === "chunk" ? Buffer.from(new ChunkLines(entry.value).blob()).toString() : "",
      );
      expect(text.join("")).toBe(Array.from({ length: 12 }, (_, i) => `number ${i + 1}\n`).join(""));

      // The call that the protocol shows with curl.
      const listed = await fetch(`http://127.0.0.1:${port}/signalbox.v1.JobService/ListJobs`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: "{}",
      });
      expect(await listed.json()).toMatchObject({ jobs: [{ id: jobId, type: "count" }] });

      await worker.kill("SIGTERM");
      expect(worker.process.exitCode).toBe(0);
    },
  );
});

describe("the protocol", () => {
  test("shows the very bytes of the chunk that it describes", () => {
    const [shown = ""] = blocks("docs/protocol.md", "chunk");
    const hex = shown.replaceAll(/#.*$/gm, "").replaceAll(/\s/g, "");
    const timeUs = 1_760_000_000_000_000;
    const builder = new ChunkBuilder();
    const stdout = { source: Source.STDOUT };
    builder.add(Buffer.from("INFO ready\n"), { timeUs, ...stdout });
    builder.add(Buffer.from("50%"), { timeUs: timeUs + 250_000, ...stdout });
    builder.add(Buffer.from("\r100%\n"), { timeUs: timeUs + 400_000, ...stdout, continues: true });
    builder.add(Buffer.from("slow disk\n"), { timeUs: timeUs - 10, level: Level.WARN, fields: { disk: "sda" } });
    expect(hex).toBe(Buffer.from(builder.build(7)).toString("hex"));
    expect(chunkFault(fromBinary(ChunkBodySchema, Buffer.from(hex, "hex")))).toBeUndefined();
  });

  test("shows what the level detector really finds", () => {
    const examples = rows("docs/protocol.md").filter(
      ([line = "", level = "", ...more]) => more.length === 0 && line.startsWith("`") && level in Level,
    );
    expect(examples.length).toBeGreaterThanOrEqual(10);
    const found = examples.map(([line = ""]) => [line, levelName(detectLevel(Buffer.from(line.slice(1, -1))))]);
    expect(found).toEqual(examples);
  });

  test("lists every level with its number and the words for it", () => {
    const levels = rows("docs/protocol.md").filter(([name = "", number = ""]) => name in Level && /^\d$/.test(number));
    expect(levels.map(([name, number]) => [name, Number(number)])).toEqual(Object.entries(Level));
    for (const [name, , words = ""] of levels) {
      for (const word of words.split(", ").filter(Boolean))
        expect([word, levelName(detectLevel(Buffer.from(`[${word}] text`)))]).toEqual([word, name]);
    }
  });
});

/** What a unit is in its base: bytes or milliseconds. */
const units: Readonly<Record<string, number>> = {
  "": 1,
  characters: 1,
  KiB: 1024,
  MiB: 1024 * 1024,
  GiB: 1024 ** 3,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  days: 24 * 3_600_000,
};

/** The value of a constant, default or option called `name` in a source file, in bytes, milliseconds or as it is. */
async function constantIn(path: string, name: string): Promise<number> {
  const source = read(path);
  let value: unknown;
  if (new RegExp(`^export const ${name}\\b`, "m").test(source) && !path.endsWith(".svelte.ts")) {
    value = ((await import(pathToFileURL(join(root, path)).href)) as Record<string, unknown>)[name];
  } else {
    // A number, or a product of numbers, after `name =`, `name:` or `name ??`.
    const found = new RegExp(`\\b${name}(?:: number)?\\s*(?:=|:|\\?\\?)\\s*([0-9][0-9_n.* ]*)`).exec(source);
    value = found?.[1]?.split("*").reduce((product, factor) => product * Number(factor.replaceAll(/[_n\s]/g, "")), 1);
  }
  if (typeof value !== "number") throw new Error(`${path} has no number called ${name}`);
  if (name.endsWith("Us")) return value / 1000;
  return /[a-z]S$/.test(name) ? value * 1000 : value;
}

test.each([
  ["docs/protocol.md", 30],
  ["docs/architecture.md", 30],
  ["docs/run.md", 5],
])("every limit in %s is the number in the code", async (page, atLeast) => {
  const limits = rows(page).flatMap(([what = "", limit = "", where = ""]) => {
    const [, name, path] = /^`(\w+)` in (\S+\.ts)$/.exec(where) ?? [];
    return name && path ? [{ what, limit, name, path }] : [];
  });
  expect(limits.length).toBeGreaterThan(atLeast);
  const wrong: string[] = [];
  for (const { what, limit, name, path } of limits) {
    const [, from, to] = /^(\d+) to (\d+) of /.exec(limit) ?? [];
    if (from && to) {
      if (!new RegExp(`const ${name} = /.*\\{${from},${to}\\}\\$/;`).test(read(path))) wrong.push(`${what}: ${limit}`);
      continue;
    }
    const [, number = "", unit = ""] = /^([\d.,]+) ?(\w*)$/.exec(limit) ?? [];
    const said = Number(number.replaceAll(",", "")) * (units[unit] ?? NaN);
    const real = await constantIn(path, name);
    if (said !== real) wrong.push(`${what}: ${limit} is ${said}, ${name} is ${real}`);
  }
  expect(wrong).toEqual([]);
});

describe("the README", () => {
  const readme = read("README.md");
  const variables = (path: string) => [...new Set(read(path).match(/SIGNALBOX_[A-Z_]+/g))];

  test("explains every variable that the server and the SDK read", () => {
    const read = [...variables("apps/server/src/config.ts"), ...variables("packages/worker/src/config.ts")];
    expect(read.length).toBeGreaterThan(12);
    expect(read.filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
  });

  test("names scripts and options that exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const used = [...readme.matchAll(/npm (?:run )?(start|test|\w+)/g)]
      .map(([, name = ""]) => name)
      .filter((name) => name !== "and");
    for (const name of used) expect(Object.keys(scripts)).toContain(name);
    const help = read("apps/server/src/config.ts");
    for (const [option] of readme.matchAll(/(?<=`)--[a-z-]+/g)) expect(help).toContain(`  ${option}`);
  });

  test("names the pnpm that the scripts use", () => {
    const used = new Set(`${readme}${read("package.json")}`.match(/pnpm@[\d.]+/g));
    expect(used.size).toBe(1);
  });
});

/** The anchor that a heading gets. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");

describe.each(pages)("links in %s", (page) => {
  const links = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^https?:/.test(target));

  test("and names of files lead to something that is there", () => {
    const files = [...prose(page).matchAll(/(?:`| in )((?:[\w.-]+\/)+[\w.-]+\.\w+)\b/g)].map(([, path = ""]) => path);
    const missing = files.filter(
      (path) => ![path, `apps/server/src/${path}`].some((each) => existsSync(join(root, each))),
    );
    expect(missing).toEqual([]);
  });

  test("lead to files and headings that exist", () => {
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(root, target)), `${link} is there`).toBe(true);
      if (!anchor) continue;
      const headings = [...prose(target).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchorOf(heading));
      expect(headings, `${link} has its heading`).toContain(anchor);
    }
  });
});
