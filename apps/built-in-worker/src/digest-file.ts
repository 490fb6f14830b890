import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { constants as zlib, createZstdCompress } from "node:zlib";

/** What a file is made of. */
export interface FileDigest {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Size after zstd level 1. */
  readonly compressedBytes: number;
}

const blockBytes = 1024 * 1024;

/**
 * Hashes a regular file and compresses it, to know how small it gets; the compressed bytes are thrown away. Reads 1 MiB at a time and
 * calls `onRead` after each, going on when it resolves. Rejects if the file is no regular file (any more) or cannot be read, or as
 * `onRead` does.
 */
export async function digestFile(path: string, onRead: (bytes: number) => Promise<void>): Promise<FileDigest> {
  // What was a file a moment ago may be a pipe now: do not hang in it, do not follow it.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error("it is not a regular file any more");
    const hash = createHash("sha256");
    let bytes = 0;
    let compressedBytes = 0;
    await pipeline(
      async function* () {
        for (;;) {
          const block = Buffer.allocUnsafe(Math.min(blockBytes, Math.max(1024, stats.size - bytes + 1)));
          const { bytesRead } = await file.read(block, 0, block.length, null);
          if (bytesRead === 0) return;
          const chunk = block.subarray(0, bytesRead);
          bytes += bytesRead;
          hash.update(chunk);
          yield chunk;
          await onRead(bytesRead);
        }
      },
      createZstdCompress({ params: { [zlib.ZSTD_c_compressionLevel]: 1 } }),
      async (compressed: AsyncIterable<Buffer>) => {
        for await (const chunk of compressed) compressedBytes += chunk.length;
      },
    );
    return { bytes, sha256: hash.digest("hex"), compressedBytes };
  } finally {
    await file.close();
  }
}
