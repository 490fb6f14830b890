import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** File descriptors of three pipes: the ends that a program gets as its 0, 1 and 2, and the ends that stay here. */
export interface PipeEnds {
  readonly theirs: readonly [input: number, output: number, errors: number];
  readonly ours: readonly [input: number, output: number, errors: number];
}

/**
 * Makes pipes of the kernel. Node's own 'pipe' is a pair of sockets, and programs notice: `echo x > /dev/stderr` fails, and a shell whose
 * input is a socket takes itself for a remote one. Returns undefined where none can be made (no mkfifo, no writable temp folder):
 * sockets are better than nothing. Whoever calls closes the descriptors.
 */
export function makePipes(): PipeEnds | undefined {
  const opened: number[] = [];
  const open = (path: string, mode: "r" | "w" | "r+") => {
    const fd = openSync(path, mode);
    opened.push(fd);
    return fd;
  };
  let folder: string | undefined;
  try {
    folder = mkdtempSync(join(tmpdir(), "signalbox-pipes-"));
    const paths = [join(folder, "0"), join(folder, "1"), join(folder, "2")] as const;
    if (spawnSync("mkfifo", ["-m", "600", ...paths], { stdio: "ignore" }).status !== 0) return undefined;
    // Opened for both, no end has to wait for somebody at the other one.
    const both = paths.map((path) => open(path, "r+"));
    const ends: PipeEnds = {
      theirs: [open(paths[0], "r"), open(paths[1], "w"), open(paths[2], "w")],
      ours: [open(paths[0], "w"), open(paths[1], "r"), open(paths[2], "r")],
    };
    closeAll(both);
    return ends;
  } catch {
    closeAll(opened);
    return undefined;
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}
