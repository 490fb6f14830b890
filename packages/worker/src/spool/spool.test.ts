import { execFileSync, fork, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Code, ConnectError } from "@connectrpc/connect";
import { EndOutcome, GapCause } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { WorkerOptions } from "../index.ts";
import { gate, job, roomForTests } from "../room-for-tests.ts";
import type { StoredAttempt } from "../server-for-tests.ts";
import { damagedFiles, listSpools, readSpool } from "./left-spools.ts";

// Each starts processes.
vi.setConfig({ testTimeout: 90_000 });
const room = roomForTests();
const megabyte = 1024 * 1024;
const program = fileURLToPath(new URL("spool-worker-for-tests.ts", import.meta.url));
let folder: string;
const children: ChildProcess[] = [];
/** A small one, mounted for one test. */
let disk: string | undefined;

beforeEach(async () => {
  room.server.behaviour.keepsToProcess = true;
  folder = join(await mkdtemp(join(tmpdir(), "spool-")), "spool");
});
afterEach(async () => {
  if (disk !== undefined) spawnSync("umount", ["-l", disk]);
  disk = undefined;
  for (const child of children.splice(0)) await kill(child);
  await rm(join(folder, ".."), { recursive: true, force: true });
});

/** Starts a worker in a process of its own. */
function startProcess(workerId: string, env: Record<string, string> = {}): ChildProcess {
  const child = fork(program, {
    env: {
      ...process.env,
      SIGNALBOX_URL: room.server.url,
      SIGNALBOX_TOKEN: room.server.token,
      SIGNALBOX_WORKER_ID: workerId,
      SIGNALBOX_SPOOL: "on",
      SIGNALBOX_SPOOL_DIR: folder,
      ...env,
    },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  children.push(child);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

const spooling = (more: Partial<WorkerOptions> = {}): Partial<WorkerOptions> => ({ spool: { folder }, ...more });

const segments = async (): Promise<string[]> =>
  (await readdir(folder, { recursive: true }).catch(() => [])).filter((name) => name.endsWith(".spool"));

const spooledBytes = async () => {
  const sizes = await Promise.all((await segments()).map((name) => stat(join(folder, name)).catch(() => undefined)));
  return sizes.reduce((sum, size) => sum + (size?.size ?? 0), 0);
};

/** As `expect.poll`, for as long as a busy machine may need. */
const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 60_000 });
/** The last line that is in the files. */
const writtenUpTo = async () => {
  const [spool] = await listSpools(folder);
  return ((spool && (await readSpool(spool.path))[0]?.nextLine) ?? 1) - 1;
};
const numbered = (count: number) => Array.from({ length: count }, (_, i) => `line ${i + 1}`);
const missingLines = (attempt: StoredAttempt) => attempt.gaps.reduce((sum, gap) => sum + Number(gap.lineCount), 0);

describe("a spool", () => {
  test("holds what a killed worker had printed, and the next one under the name delivers it", async () => {
    const { server } = room;
    const child = startProcess("named");
    await server.until(() => server.isConnected, "it is connected");
    const attempt = server.assign("a", "print", { parameters: { lines: 20_000 } });
    server.behaviour.autoCommit = false;
    await once(child, "message");
    await eventually(writtenUpTo).toBe(20_000);
    await kill(child);
    server.behaviour.autoCommit = true;
    expect((await listSpools(folder)).map(({ owner }) => owner)).toEqual(["dead"]);
    await room.start([job(() => undefined)], spooling({ workerId: "named" }));
    await server.until(() => attempt.lines.length === 20_000, "all lines are there");
    expect(attempt.lines).toEqual(numbered(20_000));
    expect(server.spooledPushes[0]?.incarnation).toBe(server.hellos[0]?.incarnation);
    await eventually(() => readdir(folder)).toEqual([]);
    expect(room.notices.join()).toMatch(/what named had left in its spool is delivered/);
  });

  test("of a process that lives is left alone", async () => {
    const { server } = room;
    const child = startProcess("first");
    await server.until(() => server.isConnected, "it is connected");
    server.assign("a", "print", { parameters: { lines: 1000 } });
    server.behaviour.autoCommit = false;
    await once(child, "message");
    await eventually(segments).toHaveLength(1);
    child.kill("SIGSTOP");
    const before = await readdir(folder);
    await room.start([job(() => undefined)], spooling({ workerId: "second" }));
    await server.roundTrip();
    expect(await readdir(folder)).toEqual(before);
    expect(server.spooledPushes).toEqual([]);
  });

  test("is delivered once although several start at the same time, after one kill after the other", async () => {
    const { server } = room;
    const child = startProcess("first");
    await server.until(() => server.isConnected, "it is connected");
    const attempt = server.assign("a", "print", { parameters: { lines: 50_000 } });
    server.behaviour.autoAck = false;
    await once(child, "message");
    await kill(child);
    server.behaviour.autoAck = true;
    for (let round = 0; round < 2; round++) {
      const helpers = [1, 2].map((n) => startProcess(`helper-${round}-${n}`, { HELPER: "yes" }));
      if (round === 1) break;
      await server.until(() => server.spooledPushes.length > round, "one of them delivers");
      for (const helper of helpers) await kill(helper);
    }
    await server.until(() => attempt.lines.length >= 1, "lines are there");
    await eventually(segments).toEqual([]);
    expect(attempt.lines).toEqual(numbered(attempt.lines.length));
    expect(attempt.gaps).toEqual([]);
  });

  test("is freed as lines are acknowledged, and nothing is left when all are", async () => {
    const { server } = room;
    const worker = await room.start(
      [
        job(async ({ log }) => {
          for (let line = 1; line <= 100_000; line++) {
            log.info(`line ${line}`);
            if (line % 100 === 0) await log.ready();
          }
        }),
      ],
      spooling(),
    );
    const attempt = server.assign("a", "test");
    let most = 0;
    while (attempt.report?.end === undefined) {
      most = Math.max(most, await spooledBytes());
      await server.changed.wait({ ms: 20 });
    }
    expect(attempt.lines).toEqual(numbered(100_000));
    expect(most).toBeLessThan(6 * megabyte);
    await eventually(segments).toEqual([]);
    expect(worker.bufferedBytes).toBe(0);
    await worker.stop();
    expect(await readdir(folder)).toEqual([]);
  });

  test("takes what does not fit into memory, and gives it back in order", async () => {
    const { server } = room;
    const total = 24 * megabyte;
    const piece = Buffer.alloc(16 * 1024, "a line of this job\n");
    const printed = gate();
    const worker = await room.start(
      [
        job(async ({ log }) => {
          for (let written = 0; written < total; written += piece.length) {
            log.write(piece, "stdout");
            if (!log.hasRoom) await log.ready();
          }
          printed.open();
        }),
      ],
      spooling({ bufferBytes: 2 * megabyte }),
    );
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.nextLine > 1, "it prints");
    await server.stop();
    await printed.opened;
    expect(worker.bufferedBytes).toBeGreaterThan(16 * megabyte);
    expect(await spooledBytes()).toBeGreaterThan(16 * megabyte);
    await server.start();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.bytes.length).toBe(total);
    expect(attempt.bytes.equals(Buffer.alloc(total, piece))).toBe(true);
  });

  test("that is full makes the job wait, and the page can say for what", async () => {
    const { server } = room;
    let printed = 0;
    await room.start(
      [
        job(async ({ log, checkpoint }) => {
          for (let i = 0; i < 80; i++) {
            log.write(Buffer.alloc(64 * 1024, `${"x".repeat(127)}\n`), "stdout");
            printed++;
            await checkpoint();
          }
        }),
      ],
      spooling({ spool: { folder, bytes: 2 * megabyte }, bufferBytes: megabyte }),
    );
    server.behaviour.autoCommit = false;
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.vitals.at(-1)?.stalledBy === "waiting for the log spool", "it waits");
    expect(printed).toBeLessThan(60);
    await eventually(() => spooledBytes()).toBeLessThan(3.2 * megabyte);
    server.behaviour.autoCommit = true;
    server.commit();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.bytes.length).toBe(80 * 64 * 1024);
    expect(attempt.vitals.at(-1)?.stalledBy).toBe("");
  });

  test.each([
    ["drop-oldest", GapCause.DROPPED_OLDEST],
    ["drop-oldest-debug", GapCause.DROPPED_DEBUG],
  ] as const)("that is full and has the policy %s drops lines, and says which", async (whenFull, cause) => {
    const { server } = room;
    const count = 60_000;
    const printed = gate();
    const worker = await room.start(
      [
        job(async ({ log }) => {
          for (let line = 1; line <= count; line++) {
            if (line % 20 === 0) log.warn(`line ${line} ${"x".repeat(80)}`);
            else log.debug(`line ${line} ${"x".repeat(80)}`);
            if (line % 50 === 0) await log.ready();
          }
          printed.open();
        }),
      ],
      spooling({ spool: { folder, bytes: 2 * megabyte, whenFull }, bufferBytes: 2 * megabyte }),
    );
    server.behaviour.autoCommit = false;
    const attempt = server.assign("a", "test");
    await printed.opened;
    server.behaviour.autoCommit = true;
    server.commit();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.nextLine).toBe(count + 1);
    expect(attempt.gaps.length).toBeGreaterThan(0);
    expect(attempt.gaps.every((gap) => gap.cause === cause)).toBe(true);
    expect(attempt.gaps[0]?.detail).toBe("it may hold 2.0 MB");
    const missing = new Set<number>();
    for (const gap of attempt.gaps)
      for (let i = 0; i < Number(gap.lineCount); i++) missing.add(Number(gap.firstLine) + i);
    if (whenFull === "drop-oldest-debug") expect([...missing].every((line) => line % 20 !== 0)).toBe(true);
    const there = attempt.lines.map((line) => Number(line.split(" ")[1]));
    expect(there).toEqual(Array.from({ length: count }, (_, i) => i + 1).filter((line) => !missing.has(line)));
    expect(missingLines(attempt)).toBe(missing.size);
    expect(worker.droppedLines).toBe(missing.size);
    expect(room.notices.filter((notice) => /lines? .*dropped: [\d,]+ so far$/.test(notice))).toHaveLength(1);
  });

  test.each([
    ["a file is in its place", () => join(folder, "..", "no-folder")],
    ["it lies below /proc", () => "/proc/spool"],
  ])("that cannot be written, since %s, is said once, and the job goes on in memory", async (_, place) => {
    const { server } = room;
    await writeFile(join(folder, "..", "no-folder"), "");
    await room.start([job(({ log }) => log.info("printed all the same"))], spooling({ spool: { folder: place() } }));
    for (const id of ["a", "b"]) {
      const attempt = server.assign(id, "test");
      expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
      expect(attempt.text).toBe("printed all the same\n");
    }
    const said = room.notices.filter((notice) => notice.includes("cannot be written"));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/lines wait in memory only/);
  });

  test("on a disk that is full goes on in memory, says so once, and loses nothing", async ({ skip }) => {
    const { server } = room;
    disk = join(folder, "..", "disk");
    await mkdir(disk);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
    skip(mounted.status !== 0, "only root can mount a small disk");
    const filler = join(disk, "filler");
    await writeFile(filler, Buffer.alloc(512 * 1024));
    const text = "x".repeat(1000);
    const worker = await room.start(
      [
        job(async ({ log }) => {
          for (let line = 1; line <= 3000; line++) {
            log.info(`${line} ${text}`);
            if (line % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
          }
        }),
      ],
      spooling({ spool: { folder: join(disk, "spool") } }),
    );
    server.behaviour.autoCommit = false;
    const attempt = server.assign("a", "test");
    await eventually(() => room.notices.join()).toMatch(/cannot be written \(ENOSPC/);
    await eventually(() => worker.bufferedBytes).toBeGreaterThan(2.8 * megabyte);
    server.behaviour.autoCommit = true;
    server.commit();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.lines).toEqual(Array.from({ length: 3000 }, (_, i) => `${i + 1} ${text}`));
    expect(attempt.gaps).toEqual([]);
    expect(room.notices.filter((notice) => notice.includes("cannot be written"))).toHaveLength(1);
  });

  test("is made again when somebody has removed its folder", async () => {
    const { server } = room;
    await room.start(
      [
        job(async ({ log, signal }) => {
          for (let line = 1; !signal.aborted; line++) {
            log.info(`line ${line}`);
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
        }),
      ],
      spooling(),
    );
    server.behaviour.autoCommit = false;
    server.assign("a", "test");
    await eventually(segments).toHaveLength(1);
    await rm(folder, { recursive: true });
    await eventually(segments).toHaveLength(1);
  });

  test("goes on when it can be written again, and nothing is lost meanwhile", async () => {
    const { server } = room;
    await mkdir(folder, { recursive: true });
    let isOver = false;
    let printed = 0;
    await room.start(
      [
        job(async ({ log }) => {
          while (!isOver) {
            log.info(`line ${++printed}`);
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        }),
      ],
      spooling({ spool: { folder: join(folder, "file", "spool") } }),
    );
    await writeFile(join(folder, "file"), "");
    server.behaviour.autoCommit = false;
    const attempt = server.assign("a", "test");
    await eventually(() => room.notices.join()).toMatch(/cannot be written/);
    await rm(join(folder, "file"));
    await eventually(() => room.notices.join()).toMatch(/can be written again/);
    server.behaviour.autoCommit = true;
    server.commit();
    isOver = true;
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.lines).toEqual(numbered(printed));
  });

  test("with a damaged segment gives all but what is lost, says which that is, and sets the segment aside", async () => {
    const { server } = room;
    const child = startProcess("named");
    await server.until(() => server.isConnected, "it is connected");
    const attempt = server.assign("a", "print", { parameters: { lines: 200_000 } });
    server.behaviour.autoCommit = false;
    await once(child, "message");
    await eventually(async () => (await segments()).length).toBeGreaterThan(2);
    await kill(child);
    const names = (await segments()).sort();
    const path = join(folder, names[1] ?? "");
    const file = await open(path, "r+");
    await file.write("damage", 300_000);
    await file.close();
    server.behaviour.autoCommit = true;
    await room.start([job(() => undefined)], spooling({ workerId: "named" }));
    await server.until(() => missingLines(attempt) > 0, "a gap is declared");
    await eventually(segments).toEqual([]);
    expect(attempt.gaps).toHaveLength(1);
    expect(attempt.gaps[0]?.cause).toBe(GapCause.SPOOL_CORRUPT);
    const [gap] = attempt.gaps;
    const lost = numbered(Number(gap?.lineCount)).map((_, i) => `line ${Number(gap?.firstLine) + i}`);
    const expected = numbered(attempt.nextLine - 1).filter((line) => !lost.includes(line));
    expect(attempt.lines).toEqual(expected);
    expect(lost.length).toBeLessThan(10_000);
    const left = await readdir(folder, { recursive: true });
    expect(left.filter((name) => name.endsWith(".damaged"))).toHaveLength(1);
    expect(room.notices.join()).toMatch(/damaged and was set aside/);
  });

  test("with a folder, a link and a pipe that are named like segments gives all lines, and leaves these aside", async () => {
    const { server } = room;
    const child = startProcess("named");
    await server.until(() => server.isConnected, "it is connected");
    const attempt = server.assign("a", "print", { parameters: { lines: 2000 } });
    server.behaviour.autoCommit = false;
    await once(child, "message");
    await eventually(writtenUpTo).toBe(2000);
    await kill(child);
    const [spool] = await listSpools(folder);
    const place = (number: number) => join(spool?.path ?? "", `000001-0000090${number}.spool`);
    await mkdir(place(1));
    await symlink("/nowhere", place(2));
    execFileSync("mkfifo", [place(3)]);
    server.behaviour.autoCommit = true;
    await room.start([job(() => undefined)], spooling({ workerId: "named" }));
    await eventually(() => attempt.nextLine).toBe(2001);
    await eventually(async () => (await listSpools(folder)).map(({ name }) => name.owner)).toEqual(["nobody"]);
    const [left] = await listSpools(folder);
    expect(await readSpool(left?.path ?? "")).toEqual([]);
    expect((await damagedFiles(left?.path ?? "")).map((path) => basename(path)).sort()).toEqual(
      [place(1), place(2), place(3)].map((path) => basename(path)),
    );
  });

  test("is nobody else's to read", async () => {
    const { server } = room;
    await room.start(
      [
        job(async ({ log, signal }) => {
          log.info("secret");
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
        }),
      ],
      spooling(),
    );
    server.behaviour.autoCommit = false;
    server.assign("a", "test");
    await eventually(segments).toHaveLength(1);
    const [name = ""] = await segments();
    const modes = [folder, join(folder, name, ".."), join(folder, name)].map(
      async (path) => (await stat(path)).mode & 0o777,
    );
    expect(await Promise.all(modes)).toEqual([0o700, 0o700, 0o600]);
    server.behaviour.autoCommit = true;
    server.commit();
  });

  test("of a worker that stopped before it could deliver is delivered by the next one", async () => {
    const { server } = room;
    const first = await room.start([job(({ log }) => log.info("one"))], spooling({ stopTimeoutMs: 300 }));
    server.behaviour.autoCommit = false;
    const attempt = server.assign("a", "test");
    await eventually(segments).toHaveLength(1);
    await first.stop();
    server.behaviour.autoCommit = true;
    await room.start([job(() => undefined)], spooling());
    await server.until(() => attempt.text === "one\n", "it is delivered");
    await eventually(segments).toEqual([]);
  });
});

describe("a job that began at a worker and was never known to the server", () => {
  test.each([
    [
      "was killed",
      "later",
      EndOutcome.FAILED,
      "its process was killed: this is what is left of its output, some of its last lines may be missing",
    ],
    ["had ended", "now", EndOutcome.SUCCEEDED, ""],
  ])("is there with all its lines when the process %s and another one comes", async (_, end, outcome, reason) => {
    const { server } = room;
    await server.stop();
    const child = startProcess("run:somewhere", { TRANSIENT: "yes", END: end });
    await once(child, "message");
    await eventually(spooledBytes).toBeGreaterThan(2000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await kill(child);
    await server.start();
    await room.start([job(() => undefined)], spooling({ workerId: "another", url: server.url }));
    await server.until(() => server.firstStarted?.endAccepted === true, "its end is told");
    const attempt = server.firstStarted;
    expect(attempt?.lines).toEqual(numbered(200));
    expect(attempt?.report?.end).toMatchObject({ outcome, reason });
    expect(server.startJobs[0]).toMatchObject({ name: "started here", type: "here", workerId: "run:somewhere" });
    await eventually(() => readdir(folder)).toEqual([]);
  });
});

test("what the server refuses stays in the spool", async () => {
  const { server } = room;
  await server.stop();
  const child = startProcess("run:somewhere", { TRANSIENT: "yes", END: "now" });
  await once(child, "message");
  await eventually(spooledBytes).toBeGreaterThan(2000);
  await kill(child);
  const before = await spooledBytes();
  await server.start();
  server.behaviour.refuseJob = () => new ConnectError("no such type here", Code.InvalidArgument);
  await room.start([job(() => undefined)], spooling({ workerId: "another" }));
  await eventually(() => room.notices.join()).toMatch(/stays there, the server does not take it: no such type here/);
  await eventually(() => readdir(folder)).toEqual([expect.stringMatching(/~nobody$/)]);
  expect(await spooledBytes()).toBe(before);
});

test("a spool folder with things that are none is no trouble", async () => {
  await mkdir(join(folder, "a~b~c"), { recursive: true });
  await mkdir(join(folder, `w~${"i".repeat(16)}~nobody`), { recursive: true });
  await writeFile(join(folder, `w~${"i".repeat(16)}~nobody`, "000001-00000001.spool"), "nonsense");
  await chmod(folder, 0o700);
  await room.start([job(() => undefined)], spooling());
  await room.server.roundTrip();
  expect(await readFile(join(folder, `w~${"i".repeat(16)}~nobody`, "000001-00000001.spool"), "utf8")).toBe("nonsense");
});
