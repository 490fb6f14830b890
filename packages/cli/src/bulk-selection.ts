import { create } from "@bufbuild/protobuf";
import { JobSelectionSchema, type JobSelection } from "@signalbox/protocol";
import { usageError } from "./exit-codes.ts";
import { resolveJobs } from "./resolve-job.ts";
import type { Room } from "./room.ts";
import { statesOf } from "./states.ts";
import type { StateChoice } from "./words.ts";

/** Options that select jobs instead of naming them. */
export interface SelectionOptions {
  readonly state?: StateChoice[];
  readonly type?: string;
  /** `key=value`, or `key` whatever its value. */
  readonly label?: string[];
  readonly worker?: string;
  readonly text?: string;
  readonly all?: boolean;
}

/** Whether jobs are selected by a filter. Throws CliError where they are named as well, or neither. */
export function hasFilter(refs: readonly string[], options: SelectionOptions): boolean {
  const { state, type, label, worker, text, all } = options;
  const filtered = [state, type, label, worker, text].some((each) => each !== undefined);
  if (filtered && all) throw usageError("--all means all jobs: leave the other filters out, or --all.");
  if (refs.length > 0 && (filtered || all)) throw usageError("Name jobs, or give a filter: not both.");
  if (refs.length === 0 && !filtered && !all)
    throw usageError("No job is named.", "Name jobs, or give a filter such as --state running, or --all.");
  return refs.length === 0;
}

/** The selection that is meant: named jobs, all of them or none, or those that fit the filter. Throws CliError. */
export async function selectionOf(
  room: Room,
  refs: readonly string[],
  options: SelectionOptions,
): Promise<JobSelection> {
  if (!hasFilter(refs, options)) {
    const found = await resolveJobs(room, refs);
    return create(JobSelectionSchema, { jobs: { case: "ids", value: { ids: found.map(({ job }) => job.id) } } });
  }
  return create(JobSelectionSchema, { jobs: { case: "filter", value: filterOf(options) } });
}

/** The filter that is meant. Throws CliError. */
export function filterOf({ state, type, label, worker, text }: Omit<SelectionOptions, "all">) {
  const labels = (label ?? []).map((word) => {
    const at = word.indexOf("=");
    if (at === 0 || word === "") throw usageError(`The label '${word}' is not of the form key=value, or key.`);
    return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
  });
  return {
    states: (state ?? []).flatMap((word) => statesOf[word]),
    type: type ?? "",
    labels: Object.fromEntries(labels) as Record<string, string>,
    workerId: worker ?? "",
    text: text ?? "",
  };
}
