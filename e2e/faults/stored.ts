import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Client } from "@connectrpc/connect";
import { ChunkLines, type LogService } from "@signalbox/protocol";
import { Classifier } from "./classify.ts";
import type { Content } from "./content.ts";
import { classifyEntries } from "./entries.ts";

/** Bytes, told by their number and their SHA-256. */
export interface Sum {
  readonly bytes: number;
  readonly sha256: string;
}

/** What a fresh reader finds in the store. */
export interface Stored extends Sum {
  readonly classifier: Classifier;
  /** The number after the last line of the attempt's log; what came late is not counted. */
  readonly end: number;
}

/** Reads an attempt's log and its late evidence from line 1 to the end by ReadLogs. The sum is that of the log alone. */
export async function readStored(
  logs: Client<typeof LogService>,
  jobId: string,
  content: Content,
  attempt = 1,
): Promise<Stored> {
  const classifier = new Classifier();
  const hash = createHash("sha256");
  let bytes = 0;
  const read = async (late: boolean) => {
    let fromLine = 1n;
    for (;;) {
      const { entries, nextLine, endLine } = await logs.readLogs({ jobId, attempt, fromLine, late });
      classifyEntries(entries, { classifier, content });
      for (const { entry } of late ? [] : entries) {
        if (entry.case !== "chunk") continue;
        const blob = new ChunkLines(entry.value).blob();
        hash.update(blob);
        bytes += blob.length;
      }
      if (nextLine <= fromLine || nextLine >= endLine) return Number(endLine);
      fromLine = nextLine;
    }
  };
  const end = await read(false);
  await read(true);
  return { classifier, end, bytes, sha256: hash.digest("hex") };
}

/** Downloads an attempt's log as a person would. */
export async function download(origin: string, tokenFile: string, jobId: string, attempt = 1): Promise<Sum> {
  const response = await fetch(`${origin}/jobs/${jobId}/attempts/${attempt}/log`, {
    headers: { authorization: `Bearer ${(await readFile(tokenFile, "utf8")).trim()}` },
  });
  if (!response.ok || !response.body)
    throw new Error(`the download of job ${jobId} is answered with ${response.status}`);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of response.body) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}
