import type { AuditFilter } from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import type { Row } from "./row.ts";

/** A place in the view: rows are ordered by time, then topic, then position. */
export type Place = Pick<Row, "at" | "topic" | "position">;

const longestText = 200;

/** What a filter lets through. Throws Refused if it makes no sense. */
export function matcher(filter: AuditFilter | undefined): (row: Row) => boolean {
  if (!filter) return () => true;
  if (filter.actor.length > longestText || filter.text.length > longestText)
    throw new Refused("invalid", `A text to look for has at most ${longestText} characters.`);
  const checks: ((row: Row) => boolean)[] = [];
  const { jobId, refused } = filter;
  if (jobId !== "") checks.push((row) => row.jobId === jobId);
  if (filter.kinds.length > 0) {
    const kinds = new Set(filter.kinds);
    checks.push(({ kind }) => kinds.has(kind));
  }
  if (filter.actorKinds.length > 0) {
    const kinds = new Set(filter.actorKinds);
    checks.push(({ actor }) => kinds.has(actor.kind));
  }
  if (refused !== undefined) checks.push((row) => row.refused === refused);
  if (filter.fromUs > 0n) checks.push(({ at }) => at >= Number(filter.fromUs));
  if (filter.untilUs > 0n) checks.push(({ at }) => at < Number(filter.untilUs));
  const who = filter.actor.toLowerCase();
  if (who !== "") checks.push(({ actor }) => has(actor.name, who) || has(actor.address, who));
  const text = filter.text.toLowerCase();
  if (text !== "")
    checks.push(({ words, values, reason, jobName, jobId: id }) =>
      [words, values, reason, jobName, id].some((each) => has(each, text)),
    );
  return (row) => checks.every((check) => check(row));
}

function has(text: string, part: string): boolean {
  return text.toLowerCase().includes(part);
}

/** Negative if `a` stands before `b`. */
export function compare(a: Place, b: Place): number {
  return a.at - b.at || (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.position - b.position);
}

/** How many of the ordered rows stand before a place. */
export function countBefore(rows: readonly Row[], place: Place): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const row = rows[middle];
    if (row && compare(row, place) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A place as a page token. */
export function pageToken({ at, topic, position }: Place): string {
  return `${at} ${position} ${topic}`;
}

/** The place of a page token; undefined if it is empty. Throws Refused if it is none. */
export function placeOf(token: string): Place | undefined {
  if (token === "") return undefined;
  const [, at, position, topic] = /^(\d{1,17}) (\d{1,16}) ([A-Za-z0-9/._:-]{1,300})$/.exec(token) ?? [];
  if (at === undefined || position === undefined || topic === undefined)
    throw new Refused("invalid", "The page token is not one that this server made. Leave it empty to begin anew.");
  return { at: Number(at), position: Number(position), topic };
}
