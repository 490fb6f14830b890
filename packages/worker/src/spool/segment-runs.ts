import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GapCause, GapSchema } from "@signalbox/protocol";
import type { GapRun, LineRun } from "../unacked-lines.ts";
import { encodeHead, type Scan } from "./records.ts";

/** The parts of a record, head first, that are written one after the other. */
export function encodeRun(run: LineRun, seed: number): readonly [Buffer<ArrayBuffer>, Uint8Array<ArrayBuffer>] {
  const payload = run.kind === "chunk" ? run.bytes : encodeGap(run);
  return [encodeHead(run.kind, run, payload, seed), payload];
}

/** Numbers whose lines are lost in a damaged segment. */
export function corruptGap(firstLine: number, nextLine: number, detail = "its file is kept there as .damaged"): GapRun {
  return {
    kind: "gap",
    firstLine,
    lineCount: nextLine - firstLine,
    cause: GapCause.SPOOL_CORRUPT,
    detail,
  };
}

/** Whether a run stands for lines that are lost in a damaged segment. */
export function isLost(run: LineRun): run is GapRun {
  return run.kind === "gap" && run.cause === GapCause.SPOOL_CORRUPT;
}

/**
 * The lines of scanned records, from `firstLine` on and without holes: what is lost becomes a gap, as far as `nextLine` where that is
 * known. What lies below `firstLine` is left out.
 */
export function runsOf(scan: Scan, { firstLine, nextLine }: { firstLine: number; nextLine?: number }): LineRun[] {
  const runs: LineRun[] = [];
  let expected = firstLine;
  const lose = (upTo: number) => {
    const before = runs.at(-1);
    // Records that are damaged one behind the other are one gap.
    if (upTo > expected && before && isLost(before)) runs[runs.length - 1] = corruptGap(before.firstLine, upTo);
    else if (upTo > expected) runs.push(corruptGap(expected, upTo));
    expected = Math.max(expected, upTo);
  };
  for (const { head, payload } of scan.records) {
    if (head.kind !== "chunk" && head.kind !== "gap") continue;
    const end = head.firstLine + head.lineCount;
    if (end <= expected || (nextLine !== undefined && end > nextLine)) continue;
    const run = payload && decodeRun(head.kind, head, payload);
    // A straddling chunk goes as it is: the server cuts off what it has.
    if (!run || (head.firstLine < expected && runs.length > 0)) {
      lose(end);
      continue;
    }
    lose(head.firstLine);
    runs.push(run.kind === "gap" ? { ...run, firstLine: expected, lineCount: end - expected } : run);
    expected = end;
  }
  if (nextLine !== undefined) lose(nextLine);
  return runs;
}

/** The number after the last line that any of the records speaks of; undefined if none does. */
export function lastLineOf(scan: Scan): number | undefined {
  let last: number | undefined;
  for (const { head } of scan.records)
    if (head.kind === "chunk" || head.kind === "gap") last = Math.max(last ?? 0, head.firstLine + head.lineCount);
  return last;
}

function decodeRun(
  kind: LineRun["kind"],
  { firstLine, lineCount }: { firstLine: number; lineCount: number },
  payload: Uint8Array<ArrayBuffer>,
): LineRun | undefined {
  if (kind === "chunk") return { kind, firstLine, lineCount, bytes: payload };
  try {
    const { cause, detail } = fromBinary(GapSchema, payload);
    return { kind, firstLine, lineCount, cause, detail };
  } catch {
    // Its checksum fits and it is no gap: nobody wrote that. What it stood for is lost.
    return undefined;
  }
}

function encodeGap({ cause, detail }: GapRun): Uint8Array<ArrayBuffer> {
  return toBinary(GapSchema, create(GapSchema, { cause, detail }));
}
