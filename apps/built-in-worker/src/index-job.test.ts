import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EndOutcome, RunMode } from "@signalbox/protocol";
import { startWorker, type Worker } from "@signalbox/worker";
import { ServerForTests, type StoredAttempt } from "@signalbox/worker/server-for-tests";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { indexJob } from "./index-job.ts";

let folder: string;
let server: ServerForTests;
let worker: Worker;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signalbox-index-"));
  server = new ServerForTests();
  await server.start();
  worker = await startWorker({
    jobs: [indexJob],
    url: server.url,
    token: server.token,
    onNotice: () => undefined,
  });
  await server.until(() => worker.state.kind === "open", "the worker is connected");
});

afterEach(async () => {
  await worker.stop();
  await server.stop();
  await rm(folder, { recursive: true });
  expect(server.violations).toEqual([]);
});

/** Files by path relative to the folder. */
async function write(files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

async function ended(attempt: StoredAttempt): Promise<void> {
  await server.until(() => attempt.endAccepted, "the attempt has ended");
}

/** The paths of the DEBUG lines, in order. */
function indexed(attempt: StoredAttempt): string[] {
  return attempt.lines.flatMap((line) => /^file [\d,]+ of [\d,]+ .* sha256 .* (\S+)$/.exec(line)?.[1] ?? []);
}

describe("the index job", () => {
  test("goes through a folder in order and says what each file is made of", async () => {
    await write({ "b.txt": "b".repeat(5000), "a.txt": "hello", "sub/c.txt": "c", "sub/deep/d": "", "a/z": "z" });
    const attempt = server.assign("a", "index", { parameters: { folder } });
    await ended(attempt);
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
    expect(indexed(attempt)).toEqual(["a.txt", "b.txt", "a/z", "sub/c.txt", "sub/deep/d"]);
    const hash = createHash("sha256").update("hello").digest("hex").slice(0, 12);
    expect(attempt.text).toContain(`file 1 of 5       5 B  sha256 ${hash}  ratio `);
    expect(attempt.text).toContain("folder .  2 files, 5.0 kB, ratio ");
    expect(attempt.text).toMatch(/done: 5 files, 5.0 kB, ratio [\d.]+\n$/);
    expect(attempt.vitals.at(-1)).toMatchObject({
      itemsDone: 5n,
      itemsTotal: 5n,
      bytesDone: 5007n,
      bytesTotal: 5007n,
    });
  });

  test("leaves out small files, links and pipes", async () => {
    await write({ small: "1234", large: "12345" });
    await symlink(join(folder, "large"), join(folder, "link"));
    await symlink(folder, join(folder, "loop"));
    execFileSync("mkfifo", [join(folder, "pipe")]);
    const attempt = server.assign("a", "index", { parameters: { folder, minimum_size: 5 } });
    await ended(attempt);
    expect(indexed(attempt)).toEqual(["large"]);
  });

  test("warns of a file that vanishes and goes on", async () => {
    await write({ a: "a", b: "b", c: "c" });
    const attempt = server.assign("a", "index", {
      parameters: { folder },
      levers: [{ case: "speed", value: { itemsPerSecond: 4 } }],
    });
    await server.until(() => attempt.text.includes("file 1 of 3"), "the first file is done");
    await unlink(join(folder, "c"));
    await ended(attempt);
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.text).toContain("file 3 of 3  cannot read c: it is gone");
    expect(attempt.text).toContain("1 file could not be read");
    expect(attempt.vitals.at(-1)).toMatchObject({ itemsDone: 3n });
  });

  test("says exactly why it cannot begin", async () => {
    await write({ file: "" });
    const reasons: Record<string, unknown> = {};
    for (const given of ["relative/path", join(folder, "nowhere"), join(folder, "file")]) {
      const attempt = server.assign(given.replaceAll("/", "-"), "index", { parameters: { folder: given } });
      await ended(attempt);
      expect(attempt.report?.end?.outcome).toBe(EndOutcome.FAILED);
      reasons[given] = attempt.report?.end?.reason;
    }
    expect(Object.values(reasons)).toEqual([
      "folder must be an absolute path, and relative/path is not",
      `folder ${join(folder, "nowhere")} does not exist on this worker's machine`,
      `${join(folder, "file")} is not a folder`,
    ]);
  });

  test("stands still when paused and goes on with the very next file", async () => {
    await write(Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`f${String(i).padStart(2, "0")}`, `${i}`])));
    const attempt = server.assign("a", "index", {
      parameters: { folder },
      levers: [{ case: "speed", value: { itemsPerSecond: 50 } }],
    });
    await server.until(() => indexed(attempt).length >= 5, "five files are done");
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
    const pause = () => attempt.report?.levers.find((lever) => lever.generation === generation);
    await server.until(() => pause() !== undefined, "the pause is applied");
    await server.until(() => attempt.nextLine === Number(pause()?.atLine), "all lines before the pause are there");
    const stood = indexed(attempt).length;
    server.set(attempt, { case: "run", value: { mode: RunMode.RUN } });
    await ended(attempt);
    expect(stood).toBeLessThan(30);
    expect(indexed(attempt)).toHaveLength(30);
    expect(indexed(attempt)).toEqual(indexed(attempt).toSorted());
  });

  test("is released with its place, and the next attempt begins with the very next file", async () => {
    await write(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${String(i).padStart(2, "0")}`, `${i}`])));
    const speed = { case: "speed" as const, value: { itemsPerSecond: 40 } };
    const first = server.assign("a", "index", { parameters: { folder }, levers: [speed] });
    await server.until(() => indexed(first).length >= 5, "five files are done");
    await worker.stop();
    expect(first.report?.end?.outcome).toBe(EndOutcome.RELEASED);
    worker = await startWorker({ jobs: [indexJob], url: server.url, token: server.token, onNotice: () => undefined });
    const checkpoint = first.reports.findLast((report) => report.checkpoint.length > 0)?.checkpoint;
    const second = server.assign("a", "index", {
      attempt: 2,
      parameters: { folder },
      ...(checkpoint ? { checkpoint } : {}),
    });
    await ended(second);
    const all = [...indexed(first), ...indexed(second)];
    expect(all).toEqual(Array.from({ length: 20 }, (_, i) => `f${String(i).padStart(2, "0")}`));
    expect(second.vitals.at(-1)).toMatchObject({ itemsDone: 20n, itemsTotal: 20n });
  });
});
