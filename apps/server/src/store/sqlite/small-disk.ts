/** A disk of its own for a test: a file system in memory, with a size. Root may mount one, others may not. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A mounted disk. Disposing takes it away with all that is on it. */
export interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
  /** Fills the disk but for so many bytes. */
  fill(leaveBytes: number): Promise<void>;
  /** Makes empty files until no other one can be made. */
  useUpInodes(): Promise<void>;
  /** Frees what {@link fill} and {@link useUpInodes} took. */
  free(): Promise<void>;
}

/** Mounts a disk of so many MiB; undefined where that is not allowed. */
export function mountSmallDisk(mebibytes: number, options = ""): SmallDisk | undefined {
  const folder = mkdtempSync(join(tmpdir(), "signalbox-disk-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m${options}`, "tmpfs", folder]);
  if (status !== 0) {
    rmdirSync(folder);
    return undefined;
  }
  const made: string[] = [];
  const make = async (bytes: number) => {
    const path = join(folder, `filler-${made.length}`);
    made.push(path);
    await writeFile(path, Buffer.alloc(bytes, 1), { flag: "wx" });
  };
  /** Does something until the disk has no room for it. */
  const untilFull = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  };
  return {
    folder,
    async fill(leaveBytes) {
      const { bavail, bsize } = await statfs(folder);
      // Somebody else may be writing, too.
      await untilFull(() => make(Math.max(0, bavail * bsize - leaveBytes)));
    },
    async useUpInodes() {
      await untilFull(async () => {
        for (;;) await make(0);
      });
    },
    async free() {
      for (const path of made.splice(0)) await rm(path, { force: true });
    },
    async [Symbol.asyncDispose]() {
      // Lazily: what still has a file open may end later.
      spawnSync("umount", ["--lazy", folder]);
      rmdirSync(folder);
    },
  };
}

/** Whether disks can be mounted here. */
export const canMount = await (async () => {
  const disk = mountSmallDisk(1);
  await disk?.[Symbol.asyncDispose]();
  return disk !== undefined;
})();
