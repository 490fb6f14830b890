import { rateNumber } from "../ui/format.ts";

/** Lines a second, whole: `212 lines/s`, `1 line/s`. */
export function linesRate(perSecond: number): string {
  const lines = Math.round(perSecond);
  return `${rateNumber(lines)} ${lines === 1 ? "line" : "lines"}/s`;
}
