import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { startTalking } from "../conformance/talking-process.ts";
import { tempFolder } from "../testing.ts";

const program = fileURLToPath(new URL("./disk-process.ts", import.meta.url));
const installed = (command: string) => spawnSync(command, ["-V"]).status === 0;

describe("a disk that breaks", () => {
  test.skipIf(!installed("prlimit"))(
    "when it is full nothing is acknowledged, what is stored can be read, and it goes on when there is room (needs prlimit)",
    async () => {
      await using temp = await tempFolder();
      // Files of 8,192 blocks of 512 bytes at most, for this process alone.
      const script = 'ulimit -S -f 8192 && exec "$0" "$@"';
      await using child = startTalking("sh", ["-c", script, process.execPath, program, temp.folder]);
      expect(await child.said()).toBe("open");

      child.tell("append 1000");
      const full = await child.said();
      expect(full).toMatch(/^failed UnknownOutcome \d+$/);
      const stored = Number(full.split(" ")[2]);
      expect(stored).toBeGreaterThan(20);
      child.tell("append 100");
      expect(await child.said()).toBe("failed UnknownOutcome 0");
      child.tell("read");
      expect(await child.said()).toBe(`entries ${stored}`);

      expect(spawnSync("prlimit", ["--pid", `${child.process.pid}`, "--fsize=unlimited"]).status).toBe(0);
      child.tell("append 200");
      expect(await child.said()).toBe("appended 200");
      child.tell("read");
      expect(await child.said()).toBe(`entries ${stored + 200}`);
    },
  );

  test.skipIf(!installed("strace"))(
    "when a sync fails nothing is acknowledged and the store says that it cannot go on (needs strace)",
    async () => {
      await using temp = await tempFolder();
      const faults = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=30+"];
      const traced = ["-f", "--seccomp-bpf", "-o", "/dev/null", ...faults, process.execPath, program, temp.folder];
      let stored: number;
      {
        await using child = startTalking("strace", traced);
        expect(await child.said()).toBe("open");
        child.tell("append 100");
        const said = [await child.said(), await child.said()].sort();
        expect(said).toEqual([expect.stringMatching(/^failed UnknownOutcome \d+$/), "store failed"]);
        stored = Number(said[0]!.split(" ")[2]);
        child.tell("append 1");
        expect(await child.said()).toBe("failed StoreClosed 0");
        child.process.stdin!.end();
        await child.exited;
      }
      await using child = startTalking(process.execPath, [program, temp.folder]);
      expect(await child.said()).toBe("open");
      child.tell("read");
      const [, entries] = (await child.said()).split(" ");
      expect(stored).toBeGreaterThan(10);
      // The entry whose commit failed may be there.
      expect([stored, stored + 1]).toContain(Number(entries));
      child.tell("append 100");
      expect(await child.said()).toBe("appended 100");
    },
  );
});
