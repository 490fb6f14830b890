import { stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineJob, type Job } from "@signalbox/worker";
import { digestFile } from "./digest-file.ts";
import { listFiles, type FolderFiles } from "./list-files.ts";

/** What the job works on. */
export interface IndexParameters {
  /** Absolute path; default: where Signalbox is installed. */
  readonly folder?: string;
  /** Files smaller than this are left out, bytes; default 0. */
  readonly minimum_size?: number;
}

const installation = fileURLToPath(new URL("../../../", import.meta.url)).replace(/\/$/, "");
const saveEveryMs = 5000;

/** The job type `index`: goes through a folder, and hashes and compresses every file in it. */
export const indexJob = defineJob<IndexParameters>({
  type: "index",
  description: "Hashes and compresses every file in a folder.",
  levers: ["run", "speed", "log_level"],
  itemNoun: "files",
  defaultItemsPerSecond: 200,
  parameters: {
    type: "object",
    properties: {
      folder: {
        type: "string",
        title: "Folder",
        description: "Absolute path on the worker's machine. Symbolic links in it are not followed.",
        default: installation,
        minLength: 1,
        maxLength: 4096,
      },
      minimum_size: {
        type: "integer",
        title: "Minimum size",
        description: "Files smaller than this are left out, bytes.",
        default: 0,
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      },
    },
    additionalProperties: false,
  },
  run: index,
});

interface Item {
  /** From 1. */
  readonly number: number;
  /** Relative to the folder. */
  readonly path: string;
  readonly bytes: number;
  readonly of: FolderFiles;
  readonly isLastOfFolder: boolean;
}

async function index(job: Job<IndexParameters>): Promise<void> {
  const { folder, minimumBytes } = await readParameters(job.parameters);
  const { log } = job;
  job.progress({ phase: "counting" });
  log.info(`counting the files in ${shown(folder)}`);
  const folders = await listFiles(folder, minimumBytes, {
    unreadable: (path, error) => log.warn(`cannot read ${shown(path)}: ${messageOf(error)}`, { path }),
    listed: async (files) => {
      job.progress({ phase: `counting: ${files.toLocaleString("en")} files` });
      await job.checkpoint();
    },
  });
  const total = folders.reduce((sum, { files }) => sum + files.length, 0);
  const bytesTotal = folders.reduce((sum, { files }) => sum + files.reduce((all, { bytes }) => all + bytes, 0), 0);
  const target = JSON.stringify([folder, minimumBytes]);
  const done = doneBefore(job.saved, target, folders);
  if (done)
    log.info(`going on after file ${done.number.toLocaleString("en")} of the attempt before, ${shown(done.path)}`);
  let bytesDone = done?.bytes ?? 0;
  job.progress({ phase: "hashing", done: done?.number ?? 0, total, bytesDone, bytesTotal });
  log.info(`${count(total, "file")} of ${size(bytesTotal)} in ${count(folders.length, "folder")}`);

  let sum = noSum;
  let whole = noSum;
  let unreadable = 0;
  let last = done?.path;
  let savedAtMs = performance.now();
  const save = () => job.checkpoint(Buffer.from(JSON.stringify({ target, last })));
  try {
    for await (const item of job.paced(items(folders, done?.number ?? 0))) {
      const bytesBefore = bytesDone;
      try {
        const digest = await digestFile(join(folder, item.path), async (bytes) => {
          bytesDone += bytes;
          job.progress({ bytesDone });
          // A large file is no reason not to pause.
          await job.checkpoint();
        });
        const ratio = ratioOf(digest.bytes, digest.compressedBytes);
        log.debug(
          // The path comes last: it may be long, and what stands before it lines up.
          `file ${item.number.toLocaleString("en")} of ${total.toLocaleString("en")}  ${size(digest.bytes).padStart(8)}  ` +
            `sha256 ${digest.sha256.slice(0, 12)}  ratio ${ratio.padStart(6)}  ${shown(item.path)}`,
          { item: item.number, path: item.path, bytes: digest.bytes, sha256: digest.sha256, ratio },
        );
        sum = plus(sum, { files: 1, bytes: digest.bytes, compressedBytes: digest.compressedBytes });
      } catch (error) {
        job.signal.throwIfAborted();
        unreadable++;
        log.warn(
          `file ${item.number.toLocaleString("en")} of ${total.toLocaleString("en")}  cannot read ${shown(item.path)}: ${messageOf(error)}`,
          {
            item: item.number,
            path: item.path,
          },
        );
      }
      // A file that has changed since it was counted does not move the end.
      bytesDone = bytesBefore + item.bytes;
      job.progress({ bytesDone });
      last = item.path;
      if (item.isLastOfFolder) {
        log.info(`folder ${shown(item.of.folder || ".")}  ${summary(sum)}`, { folder: item.of.folder || "." });
        whole = plus(whole, sum);
        sum = noSum;
      }
      if (performance.now() - savedAtMs >= saveEveryMs) {
        savedAtMs = performance.now();
        await save();
      }
    }
  } catch (error) {
    // What is saved now goes with the end, so that the next attempt begins with the very next file.
    if (last !== undefined) await save().catch(() => undefined); // it throws what is thrown anyway
    throw error;
  }
  job.progress({ phase: "done" });
  log.info(`done: ${summary(whole)}${unreadable > 0 ? `, ${count(unreadable, "file")} could not be read` : ""}`);
}

/** The files after the first `skip`, in order. */
function* items(folders: readonly FolderFiles[], skip: number): Generator<Item, void, undefined> {
  let number = 0;
  for (const of of folders) {
    if (number + of.files.length <= skip) {
      number += of.files.length;
      continue;
    }
    for (const [i, { name, bytes }] of of.files.entries()) {
      number++;
      if (number > skip)
        yield { number, path: join(of.folder, name), bytes, of, isLastOfFolder: i === of.files.length - 1 };
    }
  }
}

/** How far the attempt before came, if it worked on the same and the file where it stopped is still in the list. */
function doneBefore(
  saved: Uint8Array | undefined,
  target: string,
  folders: readonly FolderFiles[],
): { number: number; path: string; bytes: number } | undefined {
  if (!saved) return undefined;
  let checkpoint: unknown;
  try {
    checkpoint = JSON.parse(Buffer.from(saved).toString());
  } catch {
    return undefined; // Something else saved it; starting over is always right.
  }
  if (typeof checkpoint !== "object" || checkpoint === null || !("last" in checkpoint) || !("target" in checkpoint))
    return undefined;
  if (checkpoint.target !== target) return undefined;
  let bytes = 0;
  for (const item of items(folders, 0)) {
    bytes += item.bytes;
    if (item.path === checkpoint.last) return { number: item.number, path: item.path, bytes };
  }
  return undefined;
}

async function readParameters(parameters: IndexParameters): Promise<{ folder: string; minimumBytes: number }> {
  const { folder = installation, minimum_size: minimumBytes = 0 } = parameters;
  if (typeof folder !== "string" || folder === "") throw new TypeError("folder must be the path of a folder");
  if (!isAbsolute(folder)) throw new TypeError(`folder must be an absolute path, and ${shown(folder)} is not`);
  if (!Number.isSafeInteger(minimumBytes) || minimumBytes < 0)
    throw new TypeError(`minimum_size must be a whole number of bytes, 0 or more, not ${minimumBytes}`);
  const stats = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR")
      throw new Error(`folder ${shown(folder)} does not exist on this worker's machine`);
    throw new Error(`folder ${shown(folder)} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  if (!stats.isDirectory()) throw new Error(`${shown(folder)} is not a folder`);
  return { folder, minimumBytes };
}

interface Sum {
  readonly files: number;
  readonly bytes: number;
  readonly compressedBytes: number;
}

const noSum: Sum = { files: 0, bytes: 0, compressedBytes: 0 };

function plus(a: Sum, b: Sum): Sum {
  return {
    files: a.files + b.files,
    bytes: a.bytes + b.bytes,
    compressedBytes: a.compressedBytes + b.compressedBytes,
  };
}

function summary({ files, bytes, compressedBytes }: Sum): string {
  return `${count(files, "file")}, ${size(bytes)}, ratio ${ratioOf(bytes, compressedBytes)}`;
}

function ratioOf(bytes: number, compressedBytes: number): string {
  return bytes === 0 ? "-" : (bytes / compressedBytes).toFixed(2);
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** A path on one line: names may hold anything but a slash. */
function shown(path: string): string {
  return JSON.stringify(path).slice(1, -1).replaceAll('\\"', '"').replaceAll("\\\\", "\\");
}

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOENT":
      return "it is gone";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "ELOOP":
      return "it has become a symbolic link";
    default:
      return error.message;
  }
}
