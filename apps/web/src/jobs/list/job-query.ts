import { create } from "@bufbuild/protobuf";
import { JobFilterSchema, JobState, type JobFilter, type JobRecord } from "@signalbox/protocol";
import { jobFilter } from "@signalbox/protocol/job-filter";

/** What the jobs page is narrowed to; all that is set must hold. It means what `JobFilter` of the contract means. */
export interface JobQuery {
  /** In one of these states; empty: any. */
  readonly states: readonly JobState[];
  /** Of this type; empty: any. */
  readonly type: string;
  /** Whose newest attempt belongs to this worker; empty: any. */
  readonly worker: string;
  /** With these labels; an empty value: with the label, whatever its value. */
  readonly labels: Readonly<Record<string, string>>;
  /** In whose name or id this text is, in any case; empty: any. */
  readonly text: string;
  /** What the URL asks for and is not understood. No job fits it: a condition that was left out would let all through. */
  readonly wrong: readonly WrongCondition[];
}

/** A condition of the URL that is not understood: in the field there is no such value. */
export interface WrongCondition {
  readonly field: "state" | "label";
  readonly value: string;
}

/** Everything. */
export const noQuery: JobQuery = { states: [], type: "", worker: "", labels: {}, text: "", wrong: [] };

/** States as the page and the URL name them. */
export const stateNames = [
  { state: JobState.QUEUED, id: "waiting", word: "Waiting" },
  { state: JobState.RUNNING, id: "running", word: "Running" },
  { state: JobState.PAUSED, id: "paused", word: "Paused" },
  { state: JobState.LOST, id: "lost", word: "Lost" },
  { state: JobState.FAILED, id: "failed", word: "Failed" },
  { state: JobState.CANCELED, id: "canceled", word: "Canceled" },
  { state: JobState.SUCCEEDED, id: "succeeded", word: "Succeeded" },
] as const;

/** Name of a state that was observed. */
export function stateName(state: JobState): string {
  return stateNames.find((each) => each.state === state)?.word ?? "Unknown";
}

/** Whether the query narrows anything. */
export function isNarrow(query: JobQuery): boolean {
  const { states, type, worker, labels, text, wrong } = query;
  if (states.length > 0 || type !== "" || worker !== "" || text.trim() !== "") return true;
  return Object.keys(labels).length > 0 || wrong.length > 0;
}

/** Reads a query from a URL. */
export function parseQuery(search: URLSearchParams): JobQuery {
  const words = search
    .getAll("state")
    .flatMap((each) => each.split(","))
    .filter((word) => word !== "");
  const ids = words.map((word) => word.toLowerCase());
  const labels = search.getAll("label").filter((text) => text !== "");
  const isKeyless = (text: string) => parseLabel(text)[0] === "";
  return {
    states: stateNames.filter(({ id }) => ids.includes(id)).map(({ state }) => state),
    type: search.get("type") ?? "",
    worker: search.get("worker") ?? "",
    labels: Object.fromEntries(labels.filter((text) => !isKeyless(text)).map(parseLabel)),
    text: search.get("q") ?? "",
    wrong: [
      ...words.filter((word) => !stateNames.some(({ id }) => id === word.toLowerCase())).map(wrongIn("state")),
      ...labels.filter(isKeyless).map(wrongIn("label")),
    ],
  };
}

function wrongIn(field: WrongCondition["field"]): (value: string) => WrongCondition {
  return (value) => ({ field, value });
}

/** What is wrong with a query, in words; empty: nothing. */
export function wrongWords({ wrong }: JobQuery): string {
  return wrong.map(({ field, value }) => `${field} ${value}`).join(", ");
}

/** The parameters of the URL for a query; undefined: none of that name. */
export function queryParameters(query: JobQuery): Record<string, string | readonly string[] | undefined> {
  const states = stateNames.filter(({ state }) => query.states.includes(state)).map(({ id }) => id);
  const wrong = (field: WrongCondition["field"]) =>
    query.wrong.filter((each) => each.field === field).map(({ value }) => value);
  return {
    state: [...states, ...wrong("state")].join(",") || undefined,
    type: query.type || undefined,
    worker: query.worker || undefined,
    label: [...Object.entries(query.labels).map(([key, value]) => labelWords(key, value)), ...wrong("label")],
    q: query.text || undefined,
  };
}

/** The query in the form of the contract, which has no place for what is not understood. */
function queryFilter(query: JobQuery): JobFilter {
  const { states, type, worker, labels, text } = query;
  return create(JobFilterSchema, {
    states: [...states],
    type,
    workerId: worker,
    labels: { ...labels },
    text: text.trim(),
  });
}

/** A test for one query, made once for many jobs. The server asks the same one. */
export function queryTest(query: JobQuery): (job: JobRecord) => boolean {
  return query.wrong.length > 0 ? () => false : jobFilter(queryFilter(query));
}

/** One condition of a query, and the query without it. */
export interface QueryChip {
  readonly field: string;
  readonly value: string;
  /** It is not understood. */
  readonly wrong?: boolean;
  readonly without: JobQuery;
}

/** The conditions of a query, but for its text, which has a field of its own. */
export function queryChips(query: JobQuery): QueryChip[] {
  const chips: QueryChip[] = [];
  if (query.states.length > 0)
    chips.push({ field: "state", value: query.states.map(stateName).join(", "), without: { ...query, states: [] } });
  if (query.type) chips.push({ field: "type", value: query.type, without: { ...query, type: "" } });
  if (query.worker) chips.push({ field: "worker", value: query.worker, without: { ...query, worker: "" } });
  for (const [key, value] of Object.entries(query.labels)) {
    const labels = Object.fromEntries(Object.entries(query.labels).filter(([other]) => other !== key));
    chips.push({ field: "label", value: labelWords(key, value), without: { ...query, labels } });
  }
  for (const each of query.wrong)
    chips.push({ ...each, wrong: true, without: { ...query, wrong: query.wrong.filter((other) => other !== each) } });
  return chips;
}

/**
 * Takes conditions out of typed text: `type:index label:team=search state:failed worker:box`. The rest stays text; so does a word with an
 * unknown name before the colon.
 */
export function takeConditions(query: JobQuery): JobQuery {
  let taken = query;
  const rest: string[] = [];
  for (const word of query.text.split(/\s+/)) {
    const next = takeWord(taken, word);
    if (next) taken = next;
    else rest.push(word);
  }
  return { ...taken, text: rest.join(" ").trim() };
}

function takeWord(query: JobQuery, word: string): JobQuery | undefined {
  const at = word.indexOf(":");
  const value = word.slice(at + 1);
  if (at < 1 || value === "") return undefined;
  switch (word.slice(0, at).toLowerCase()) {
    case "type":
      return { ...query, type: value };
    case "worker":
      return { ...query, worker: value };
    case "label":
      return withLabel(query, value);
    case "state": {
      const state = stateNames.find(({ id }) => id === value.toLowerCase())?.state;
      return state && { ...query, states: [...new Set([...query.states, state])] };
    }
    default:
      return undefined;
  }
}

/** The query with a label more: `team=search`, or `team` for any value. */
export function withLabel(query: JobQuery, text: string): JobQuery {
  const [key, value] = parseLabel(text);
  return { ...query, labels: { ...query.labels, [key]: value } };
}

function parseLabel(text: string): [key: string, value: string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function labelWords(key: string, value: string): string {
  return value === "" ? key : `${key}=${value}`;
}
