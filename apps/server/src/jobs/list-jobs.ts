import type { JobRecord, ListJobsRequest } from "@signalbox/protocol";
import { jobFilter } from "@signalbox/protocol/job-filter";
import { Refused } from "../refused.ts";
import { encodeRecord, type Job } from "./job.ts";

const defaultPage = 100;
const largestPage = 1000;
/** A message has its bound: a page of large records holds fewer of them. */
const largestPageBytes = 2 * 1024 * 1024;
const token = /^\d{20} [a-z0-9-]{1,60}$/;

/** One page of records, newest first. A page token is the key of the last job of the page before: pages do not shift under a reader. */
export function listJobs(
  jobs: Iterable<Job>,
  request: ListJobsRequest,
): { records: JobRecord[]; nextPageToken: string } {
  const size = request.pageSize === 0 ? defaultPage : request.pageSize;
  if (size > largestPage) throw new Refused("invalid", `page_size is ${size}, at most ${largestPage} is allowed.`);
  if (request.pageToken !== "" && !token.test(request.pageToken))
    throw new Refused("invalid", "The page token is not one that this server made. Leave it empty to begin anew.");
  const fits = jobFilter({ states: request.states, type: request.type, labels: {}, workerId: "", text: "" });
  const wanted: { key: string; record: JobRecord }[] = [];
  for (const { record } of jobs) {
    if (!fits(record)) continue;
    const key = keyOf(record);
    if (request.pageToken === "" || key < request.pageToken) wanted.push({ key, record });
  }
  wanted.sort((a, b) => (a.key < b.key ? 1 : -1));
  const page: typeof wanted = [];
  let bytes = 0;
  for (const each of wanted.slice(0, size)) {
    bytes += encodeRecord(each.record).length;
    if (bytes > largestPageBytes && page.length > 0) break;
    page.push(each);
  }
  const last = page.at(-1);
  return {
    records: page.map(({ record }) => record),
    nextPageToken: last && wanted.length > page.length ? last.key : "",
  };
}

function keyOf(record: JobRecord): string {
  return `${record.createdAtUs.toString().padStart(20, "0")} ${record.id}`;
}
