import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
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
export async function makePipes(): Promise<PipeEnds | undefined> {
  const named = makeNamed();
  const input = named && (await makeNameless());
  if (!named || !input) return named;
  closeAll([named.theirs[0], named.ours[0]]);
  return {
    theirs: [input.read, named.theirs[1], named.theirs[2]],
    ours: [input.write, named.ours[1], named.ours[2]],
  };
}

/** A shell that holds a pipe without a name as its descriptor 4, says who it is, and ends when it hears so on 3. */
const holder = ": | sh -c 'exec 4<&0; echo $$; read -r x <&3'";

/**
 * A pipe without a name, which Node cannot make: Linux shows that of another process. A program that opens /dev/stdin when its input has
 * ended already waits for ever at a pipe with a name, for another writer; at this one it sees the end.
 */
async function makeNameless(): Promise<{ readonly read: number; readonly write: number } | undefined> {
  if (process.platform !== "linux") return undefined;
  const opened: number[] = [];
  const child = spawn("sh", ["-c", holder], { cwd: "/", stdio: ["ignore", "pipe", "ignore", "pipe"] });
  const closed = once(child, "close").catch(() => undefined); // It cannot be started.
  try {
    const said: unknown = await Promise.race([
      once(child.stdout ?? child, "data").then(([bytes]: unknown[]) => bytes),
      closed,
    ]);
    const pid = Number(String(said));
    if (!(pid > 0)) return undefined;
    for (const mode of ["r", "w"]) opened.push(openSync(`/proc/${pid}/fd/4`, mode));
    const [read = -1, write = -1] = opened;
    return { read, write };
  } catch {
    closeAll(opened);
    return undefined;
  } finally {
    for (const stream of child.stdio) stream?.destroy();
    await closed;
  }
}

function makeNamed(): PipeEnds | undefined {
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
