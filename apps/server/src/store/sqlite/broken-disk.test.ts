import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { startTalking } from "../conformance/talking-process.ts";
import { integrityOf, tempFolder } from "../testing.ts";
import { canMount, mountSmallDisk, type SmallDisk } from "./small-disk.ts";

const program = fileURLToPath(new URL("./disk-process.ts", import.meta.url));
const installed = (command: string) => spawnSync(command, ["-V"]).status === 0;
const mebibyte = 1024 * 1024;

/** A process with a store, and all that it said. */
function start(folder: string, { reserve = 0, wrap = [] as string[] } = {}) {
  const [command = "", ...args] = [...wrap, process.execPath, program, folder, String(reserve)];
  const child = startTalking(command, args);
  onTestFinished(() => child[Symbol.asyncDispose]());
  const lines: string[] = [];
  void (async () => {
    for await (const line of child.lines) lines.push(line);
  })();
  return {
    lines,
    pid: child.process.pid ?? 0,
    tell: (line: string) => child.tell(line),
    /** Waits for a line that was not asked for before, and returns what its pattern caught. */
    async said(pattern: RegExp): Promise<string> {
      const at = () => lines.findIndex((line) => pattern.test(line));
      await expect.poll(() => (at() >= 0 ? "said" : lines.join("\n")), { timeout: 30_000 }).toBe("said");
      const [line = ""] = lines.splice(at(), 1);
      return pattern.exec(line)?.[1] ?? "";
    },
    async end() {
      child.process.stdin?.end();
      await child.exited;
      return child.process.exitCode;
    },
    async kill() {
      child.process.kill("SIGKILL");
      await child.exited;
    },
  };
}

function smallDisk(mebibytes: number, options = ""): SmallDisk & { readonly data: string } {
  const disk = mountSmallDisk(mebibytes, options);
  if (!disk) throw new Error("no disk can be mounted");
  onTestFinished(() => disk[Symbol.asyncDispose]());
  return { ...disk, data: join(disk.folder, "data") };
}

describe.skipIf(!canMount)("a disk that is full (needs root, to mount one)", { timeout: 90_000 }, () => {
  test("lines wait and are stored once when there is room, commands and reading go on meanwhile", async () => {
    const disk = smallDisk(64);
    const store = start(disk.data, { reserve: 16 * mebibyte });
    await store.said(/^open$/);
    // A 16th of the disk at most.
    expect(statSync(join(disk.data, "reserve")).size).toBe(4 * mebibyte);
    store.tell("command 10");
    await store.said(/^appended 10$/);
    await disk.fill(3 * mebibyte);
    store.tell("append 500");
    await store.said(/^store full$/);
    for (let round = 0; round < 10; round++) {
      store.tell("command 20");
      await store.said(/^appended 20$/);
    }
    store.tell("read");
    const stored = Number(await store.said(/^entries (\d+) 210$/));
    expect(stored).toBeGreaterThan(20);
    expect(stored).toBeLessThan(500);
    expect(statSync(join(disk.data, "reserve")).size).toBeLessThan(4 * mebibyte);
    expect(store.lines.filter((line) => /appended|failed|full|ok/.test(line))).toEqual([]);

    await disk.free();
    await store.said(/^store ok$/);
    await store.said(/^appended 500$/);
    expect(statSync(join(disk.data, "reserve")).size).toBe(4 * mebibyte);
    store.tell("read");
    await store.said(/^entries 500 210$/);
    expect(await store.end()).toBe(0);
    expect(integrityOf(disk.data)).toEqual(["ok", "ok"]);
  });

  test("the reserve is used up before commands fail; they fail at once, and go again when there is room", async () => {
    const disk = smallDisk(64);
    const store = start(disk.data, { reserve: 16 * mebibyte });
    await store.said(/^open$/);
    await disk.fill(0);
    store.tell("command 100000");
    const stored = Number(await store.said(/^failed NotStored (\d+)$/));
    // 10 kB each.
    expect(stored).toBeGreaterThan(200);
    store.tell("command 1");
    await store.said(/^failed NotStored 0$/);
    store.tell("read");
    await store.said(new RegExp(`^entries 0 ${stored}$`));
    await store.said(/^store full$/);
    await disk.free();
    await store.said(/^store ok$/);
    store.tell("command 50");
    await store.said(/^appended 50$/);
    store.tell("read");
    await store.said(new RegExp(`^entries 0 ${stored + 50}$`));
    expect(await store.end()).toBe(0);
    expect(integrityOf(disk.data)).toEqual(["ok", "ok"]);
  });

  test("a store that is killed there opens there, and one that is closed there, too; nothing is lost", async () => {
    const disk = smallDisk(64);
    const first = start(disk.data, { reserve: 16 * mebibyte });
    await first.said(/^open$/);
    await disk.fill(3 * mebibyte);
    first.tell("append 500");
    await first.said(/^store full$/);
    first.tell("command 20");
    await first.said(/^appended 20$/);
    first.tell("read");
    const stored = Number(await first.said(/^entries (\d+) 20$/));
    await first.kill();

    const second = start(disk.data, { reserve: 16 * mebibyte });
    await second.said(/^open$/);
    second.tell("command 20");
    await second.said(/^appended 20$/);
    second.tell("append 1000");
    second.tell("read");
    await second.said(new RegExp(`^entries ${stored} 40$`));
    // What waits for room fails at the end, and the end is not held up.
    expect(await second.end()).toBe(0);
    expect(second.lines).toContain("failed NotStored 0");

    await disk.fill(0);
    const third = start(disk.data, { reserve: 16 * mebibyte });
    await third.said(/^open$/);
    third.tell("command 20");
    await third.said(/^appended 20$/);
    await disk.free();
    third.tell("append 100");
    await third.said(/^appended 100$/);
    third.tell("read");
    await third.said(new RegExp(`^entries ${stored + 100} 60$`));
    expect(await third.end()).toBe(0);
    expect(integrityOf(disk.data)).toEqual(["ok", "ok"]);
  });

  test("little space is told before none is left, and when there is enough again", async () => {
    const disk = smallDisk(64);
    const store = start(disk.data, { reserve: 16 * mebibyte });
    await store.said(/^open$/);
    await disk.fill(5 * mebibyte);
    await store.said(/^store low$/);
    store.tell("append 10");
    await store.said(/^appended 10$/);
    await disk.free();
    await store.said(/^store ok$/);
    expect(await store.end()).toBe(0);
  });

  test("without a free inode everything is stored, and little is said to be left", async () => {
    const disk = smallDisk(64, ",nr_inodes=60");
    const store = start(disk.data, { reserve: 16 * mebibyte });
    await store.said(/^open$/);
    await disk.useUpInodes();
    await store.said(/^store low$/);
    store.tell("append 200");
    await store.said(/^appended 200$/);
    store.tell("command 200");
    await store.said(/^appended 200$/);
    await disk.free();
    await store.said(/^store ok$/);
    expect(await store.end()).toBe(0);
    expect(integrityOf(disk.data)).toEqual(["ok", "ok"]);
  });
});

describe("a disk that breaks", { timeout: 90_000 }, () => {
  test.skipIf(!installed("prlimit"))(
    "at the limit of a file's size lines wait, what is stored can be read, and it goes on when the limit is raised (needs prlimit)",
    async () => {
      await using temp = await tempFolder();
      // Files of 8,192 blocks of 512 bytes at most, for this process alone.
      const store = start(temp.folder, { wrap: ["sh", "-c", 'ulimit -S -f 8192 && exec "$0" "$@"'] });
      await store.said(/^open$/);
      store.tell("append 500");
      await store.said(/^store full$/);
      store.tell("read");
      const stored = Number(await store.said(/^entries (\d+) 0$/));
      expect(stored).toBeGreaterThan(20);
      expect(store.lines).toEqual([]);
      expect(spawnSync("prlimit", ["--pid", `${store.pid}`, "--fsize=unlimited"]).status).toBe(0);
      await store.said(/^store ok$/);
      await store.said(/^appended 500$/);
      store.tell("read");
      await store.said(/^entries 500 0$/);
      expect(await store.end()).toBe(0);
      expect(integrityOf(temp.folder)).toEqual(["ok", "ok"]);
    },
  );

  test.skipIf(!installed("strace"))(
    "when it becomes read-only lines wait and commands fail at once, until it can be written again (needs strace)",
    async () => {
      await using temp = await tempFolder();
      const store = start(temp.folder);
      await store.said(/^open$/);
      store.tell("append 50");
      await store.said(/^appended 50$/);
      const faults = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS"];
      const strace = spawn("strace", ["-f", "-o", "/dev/null", ...faults, "-p", `${store.pid}`]);
      onTestFinished(() => void strace.kill("SIGKILL"));
      let attached = "";
      strace.stderr.on("data", (text: Buffer) => (attached += text.toString()));
      await expect.poll(() => attached).toMatch(/attached/);
      store.tell("append 50");
      await store.said(/^store full$/);
      store.tell("command 1");
      await store.said(/^failed NotStored 0$/);
      store.tell("read");
      await store.said(/^entries 50 0$/);
      strace.kill("SIGINT");
      await once(strace, "exit");
      await store.said(/^store ok$/);
      await store.said(/^appended 50$/);
      store.tell("command 1");
      await store.said(/^appended 1$/);
      store.tell("read");
      await store.said(/^entries 100 1$/);
      expect(await store.end()).toBe(0);
      expect(integrityOf(temp.folder)).toEqual(["ok", "ok"]);
    },
  );

  test.skipIf(!installed("strace"))(
    "when a sync fails nothing is acknowledged and the store says that it cannot go on (needs strace)",
    async () => {
      await using temp = await tempFolder();
      const faults = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=30+"];
      const traced = start(temp.folder, { wrap: ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", ...faults] });
      await traced.said(/^open$/);
      traced.tell("append 100");
      const stored = Number(await traced.said(/^failed UnknownOutcome (\d+)$/));
      await traced.said(/^store failed$/);
      traced.tell("append 1");
      await traced.said(/^failed StoreClosed 0$/);
      await traced.end();

      const store = start(temp.folder);
      await store.said(/^open$/);
      store.tell("read");
      const entries = Number(await store.said(/^entries (\d+) 0$/));
      expect(stored).toBeGreaterThan(10);
      // The entry whose commit failed may be there.
      expect([stored, stored + 1]).toContain(entries);
      store.tell("append 100");
      await store.said(/^appended 100$/);
      expect(existsSync(join(temp.folder, "reserve"))).toBe(false);
    },
  );
});
