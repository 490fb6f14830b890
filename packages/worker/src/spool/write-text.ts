import { fromBinary } from "@bufbuild/protobuf";
import { ChunkBodySchema } from "@signalbox/protocol";
import { openAttempt, type LeftAttempt } from "./left-spools.ts";

/** Numbers whose lines are not there. */
export interface MissingLines {
  readonly firstLine: number;
  readonly lineCount: number;
}

/**
 * Gives the exact bytes of all lines that are left of an attempt to `write`, piece by piece, acknowledged ones that are still there
 * included. Returns what is missing in between. Nothing is changed.
 */
export async function writeText(
  left: LeftAttempt,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<MissingLines[]> {
  const missing: MissingLines[] = [];
  const files = await openAttempt({ ...left, damaged: [] }, () => undefined, { keepsAside: false });
  for (const segment of left.segments) {
    const { runs } = await files.read({ segment, offset: 0 }, segment.firstLine);
    for (const run of runs)
      if (run.kind === "chunk") await write(fromBinary(ChunkBodySchema, run.bytes).blob);
      else missing.push(run);
  }
  return missing;
}
