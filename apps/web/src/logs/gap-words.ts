import { GapCause, type Gap } from "@signalbox/protocol";
import { exact, plural } from "../ui/format.ts";

const causes: Readonly<Record<GapCause, string>> = {
  [GapCause.UNSPECIFIED]: "the worker declared them missing",
  [GapCause.DROPPED_DEBUG]: "the worker's spool was full, its oldest DEBUG lines were dropped",
  [GapCause.DROPPED_OLDEST]: "the worker's spool was full, its oldest lines were dropped",
  [GapCause.SPOOL_CORRUPT]: "a part of the worker's spool was damaged and set aside",
  [GapCause.REFUSED]: "the server refused these lines as malformed",
  [GapCause.STORE_ROLLBACK]: "the server's store was set back, and the worker no longer has them",
};

/** What is missing, which numbers it has, and why. */
export interface GapWords {
  /** `13 lines missing`. */
  readonly count: string;
  /** `182,990 – 183,002`. */
  readonly range: string;
  /** Why, without a full stop. */
  readonly cause: string;
}

/** Says what a gap is, exactly. */
export function gapWords(gap: Gap): GapWords {
  const first = Number(gap.firstLine);
  const last = first + Number(gap.lineCount) - 1;
  const detail = gap.detail ? `: ${gap.detail.replace(/\.$/, "")}` : "";
  return {
    count: `${plural(Number(gap.lineCount), "line")} missing`,
    range: first === last ? exact(first) : `${exact(first)} – ${exact(last)}`,
    // A cause of a newer server has no words here yet.
    cause: `${causes[gap.cause] ?? causes[GapCause.UNSPECIFIED]}${detail}`,
  };
}

/** Lines inside of gaps. */
export function linesIn(gaps: readonly Gap[]): number {
  return gaps.reduce((sum, gap) => sum + Number(gap.lineCount), 0);
}
