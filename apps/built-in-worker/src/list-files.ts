import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** The files of one folder. */
export interface FolderFiles {
  /** Relative to where the listing began; empty for that folder itself. */
  readonly folder: string;
  /** Sorted by name. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

/** What `listFiles` tells while it works. */
export interface ListProgress {
  /** Something cannot be read and is left out. */
  unreadable(path: string, error: unknown): void;
  /** Called after each folder; the next one is read when it resolves. */
  listed(files: number): Promise<void>;
}

/** More files than this are too many to keep in mind. */
export const MAX_FILES = 5_000_000;
const statsAtOnce = 32;

/**
 * Lists all regular files of at least `minimumBytes` below `root`, folder by folder: first a folder's own files, then the folders in
 * it, each sorted by name, so that the same tree gives the same list. Symbolic links are not followed; sockets, pipes and devices are
 * left out, and so are folders without files. Rejects if `root` cannot be read, or with RangeError beyond 5 million files.
 */
export async function listFiles(root: string, minimumBytes: number, progress: ListProgress): Promise<FolderFiles[]> {
  const found: FolderFiles[] = [];
  let count = 0;
  // Folders still to read, next one last.
  const waiting = [""];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const names: string[] = [];
    const folders: string[] = [];
    try {
      for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
        if (entry.isFile()) names.push(entry.name);
        else if (entry.isDirectory()) folders.push(join(folder, entry.name));
      }
    } catch (error) {
      if (folder === "") throw error;
      progress.unreadable(folder, error);
      continue;
    }
    waiting.push(...folders.sort(byCodeUnits).reverse());
    const files: { name: string; bytes: number }[] = [];
    names.sort(byCodeUnits);
    for (let at = 0; at < names.length; at += statsAtOnce) {
      const batch = names.slice(at, at + statsAtOnce);
      const stats = await Promise.allSettled(batch.map((name) => lstat(join(root, folder, name))));
      stats.forEach((result, i) => {
        const name = batch[i] ?? "";
        if (result.status === "rejected") progress.unreadable(join(folder, name), result.reason);
        else if (result.value.isFile() && result.value.size >= minimumBytes)
          files.push({ name, bytes: result.value.size });
      });
    }
    count += files.length;
    if (count > MAX_FILES)
      throw new RangeError(`there are more than ${MAX_FILES.toLocaleString("en")} files in ${root}`);
    if (files.length > 0) found.push({ folder, files });
    await progress.listed(count);
  }
  return found;
}

/** Not by locale: the order must be the same on every machine. */
function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
