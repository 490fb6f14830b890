import type { JsonObject } from "@bufbuild/protobuf";
import { exact } from "@signalbox/protocol/format";
import { sanitise } from "./sanitise.ts";

const mostShown = 6;
const longestText = 40;

/**
 * What a job has found out, as far as it fits into a line: `bytes 1,204, lines 12`; empty if nothing does. While the results are not final,
 * what is false says nothing: it may only be so yet.
 */
export function resultWords(results: JsonObject | undefined, isFinal: boolean): string {
  const found = Object.entries(results ?? {}).flatMap(([key, value]) => {
    if (typeof value === "number") return `${sanitise(key)} ${Number.isInteger(value) ? exact(value) : value}`;
    if (typeof value === "boolean") return value || isFinal ? `${sanitise(key)} ${value}` : [];
    return typeof value === "string" && value.length <= longestText ? `${sanitise(key)} ${sanitise(value)}` : [];
  });
  return found.slice(0, mostShown).join(", ");
}
