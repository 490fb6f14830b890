import type { WorkerLink } from "@signalbox/protocol";
import { bytes, plural } from "../ui/format.ts";

/** A spool that is fuller than this share of what it may hold is worth a warning: when it is full, jobs wait or lines are dropped. */
const fullShare = 0.8;
/** Without a spool: lines held back in memory are worth a warning from here on, half of what an SDK holds before jobs wait. Bytes. */
const manyBytes = 32_000_000;

/** How full a worker's spool is. */
export interface SpoolUse {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** 0 to 1. */
  readonly share: number;
  /** It is nearly full. */
  readonly bad: boolean;
}

/** The spool of a worker; undefined if it has none. */
export function spoolUse(link: WorkerLink): SpoolUse | undefined {
  const limitBytes = Number(link.spoolLimitBytes);
  if (limitBytes === 0) return undefined;
  const usedBytes = Number(link.spoolBytes);
  const share = Math.min(1, usedBytes / limitBytes);
  return { usedBytes, limitBytes, share, bad: share > fullShare };
}

/** Lines that a worker holds and that are not acknowledged, in a word or two; with the share of the spool where it counts. */
export function heldBack(link: WorkerLink): { readonly text: string; readonly bad: boolean } {
  const count = Number(link.bufferedBytes);
  const spool = spoolUse(link);
  if (!spool) return { text: bytes(count), bad: count >= manyBytes };
  return {
    text: spool.share >= 0.1 ? `${bytes(count)}, ${Math.floor(spool.share * 100)}\u00a0%` : bytes(count),
    bad: spool.bad,
  };
}

/** How often the worker's process lost its link and came back, in words. */
export function reconnectsText(link: WorkerLink): string {
  if (link.reconnects === 0) return "never lost its link";
  return `lost its link ${link.reconnects === 1 ? "once" : plural(link.reconnects, "time")}`;
}
