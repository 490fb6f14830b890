import type { JobFilter } from "./gen/signalbox/v1/bulk_pb.ts";
import type { JobRecord } from "./gen/signalbox/v1/job_pb.ts";

/** What jobs are looked for by. An empty field says nothing. */
export type JobFilterFields = Readonly<Omit<JobFilter, "$typeName" | "$unknown">>;

/**
 * A function that says whether a job fits a filter: all that is set must hold. The server, the page and the command line ask the same one,
 * so that commands to many reach what was shown.
 */
export function jobFilter(filter: JobFilterFields): (job: JobRecord) => boolean {
  const states = new Set(filter.states);
  const labels = Object.entries(filter.labels);
  const text = filter.text.toLowerCase();
  return (job) =>
    (states.size === 0 || states.has(job.state)) &&
    (filter.type === "" || job.type === filter.type) &&
    labels.every(([key, value]) => {
      if (!Object.hasOwn(job.labels, key)) return false;
      return value === "" || job.labels[key] === value;
    }) &&
    (filter.workerId === "" || job.attempts.at(-1)?.workerId === filter.workerId) &&
    (text === "" || job.id.toLowerCase().includes(text) || job.name.toLowerCase().includes(text));
}
