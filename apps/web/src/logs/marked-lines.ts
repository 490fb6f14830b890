import type { MarkedLines } from "./log-surface.ts";

/** The marked lines that a URL names, `120` or `120-140`; undefined if it names none that could exist. */
export function parseMarked(text: string | null): MarkedLines | undefined {
  const match = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text ?? "");
  if (!match) return undefined;
  const one = Number(match[1]);
  const other = Number(match[2] ?? one);
  return one > 0 && other > 0 ? { from: Math.min(one, other), to: Math.max(one, other) } : undefined;
}

/** The form that {@link parseMarked} reads. */
export function formatMarked({ from, to }: MarkedLines): string {
  return from === to ? String(from) : `${from}-${to}`;
}
