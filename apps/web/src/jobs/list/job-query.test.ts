import { JobState } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { jobRecord } from "../samples.ts";
import { chooseOption, filterOptions } from "./filter-options.ts";
import {
  isNarrow,
  noQuery,
  parseQuery,
  queryChips,
  queryParameters,
  queryTest,
  takeConditions,
  withLabel,
  wrongWords,
  type JobQuery,
} from "./job-query.ts";

const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n }];
const index = jobRecord({ id: "j-7", name: "Docs Index", labels: { team: "search", pool: "cpu" }, attempts });
const fits = (query: Partial<JobQuery>) => queryTest({ ...noQuery, ...query })(index);

test("all that is set must hold: state, type, worker, labels with any or one value, text of name or id in any case", () => {
  expect(fits({})).toBe(true);
  expect(
    fits({ states: [JobState.UNSPECIFIED], type: "index", worker: "box-01", labels: { team: "search", pool: "" } }),
  ).toBe(true);
  expect([fits({ text: "docs i" }), fits({ text: " J-7 " }), fits({ text: "box-01" })]).toEqual([true, true, false]);
  expect([
    fits({ labels: { team: "ads" } }),
    fits({ labels: { gpu: "" } }),
    fits({ labels: { toString: "" } }),
  ]).toEqual([...[false, false, false]]);
  expect([fits({ states: [JobState.PAUSED] }), fits({ type: "in" }), fits({ worker: "box" })]).toEqual([
    ...[false, false, false],
  ]);
});

test("a query is the same after a way through the URL", () => {
  const query: JobQuery = {
    states: [JobState.RUNNING, JobState.LOST],
    type: "a b&c=d",
    worker: "w:1",
    labels: { team: "x=y,z", pool: "" },
    text: "50 % é",
    wrong: [
      { field: "state", value: "zzz" },
      { field: "label", value: "=x" },
    ],
  };
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(queryParameters(query)))
    for (const each of typeof value === "string" ? [value] : (value ?? [])) search.append(name, each);
  expect(parseQuery(new URLSearchParams(search.toString()))).toEqual(query);
  expect(Object.values(queryParameters(noQuery)).filter((value) => value !== undefined && value.length > 0)).toEqual(
    [],
  );
});

test("what is not understood in the URL stays, as a chip that no job fits, until it is removed", () => {
  const query = parseQuery(new URLSearchParams("state=Running,zzz&state=lost"));
  expect(query.states).toEqual([JobState.RUNNING, JobState.LOST]);
  expect([isNarrow(query), wrongWords(query)]).toEqual([true, "state zzz"]);
  const running = jobRecord({ state: JobState.RUNNING });
  expect(queryTest(query)(running)).toBe(false);
  const chip = queryChips(query).find(({ wrong }) => wrong);
  expect(chip).toMatchObject({ field: "state", value: "zzz" });
  expect(queryTest(chip?.without ?? query)(running)).toBe(true);
});

test("each condition is a chip that leaves the others when it is removed", () => {
  const query = {
    ...noQuery,
    states: [JobState.RUNNING, JobState.PAUSED],
    labels: { team: "ads", pool: "" },
    text: "x",
  };
  const chips = queryChips(query);
  expect(chips.map(({ field, value }) => `${field} | ${value}`)).toEqual([
    "state | Running, Paused",
    "label | team=ads",
    "label | pool",
  ]);
  expect(chips[1]?.without).toEqual({ ...query, labels: { pool: "" } });
  expect([isNarrow(query), isNarrow({ ...noQuery, text: " " })]).toEqual([true, false]);
});

test("typed conditions become chips, and the rest stays text", () => {
  const typed = {
    ...noQuery,
    text: "nightly type:index state:failed STATE:lost label:team=a label:gpu worker:box http://x",
  };
  expect(takeConditions(typed)).toEqual({
    ...noQuery,
    states: [JobState.FAILED, JobState.LOST],
    type: "index",
    worker: "box",
    labels: { team: "a", gpu: "" },
    text: "nightly http://x",
  });
  expect(takeConditions({ ...noQuery, text: "state:odd type:" }).text).toBe("state:odd type:");
});

test("menus offer the values that jobs have, the most frequent first, and choosing one again removes it", () => {
  const jobs = [index, jobRecord({ labels: { team: "ads" } }), jobRecord({ labels: { team: "ads" }, type: "embed" })];
  expect(filterOptions("label", jobs, withLabel(noQuery, "team=ads"))).toEqual([
    { id: "team=ads", name: "team=ads", hint: "2", checked: true },
    { id: "pool=cpu", name: "pool=cpu", hint: "1", checked: false },
    { id: "team=search", name: "team=search", hint: "1", checked: false },
  ]);
  expect(filterOptions("type", jobs, noQuery).map(({ id, hint }) => `${id} ${hint}`)).toEqual(["index 2", "embed 1"]);
  expect(filterOptions("worker", jobs, noQuery).map(({ id }) => id)).toEqual(["box-01"]);
  for (const [field, id] of [
    ["state", "running"],
    ["type", "index"],
    ["worker", "box-01"],
    ["label", "team=ads"],
  ] as const) {
    const chosen = chooseOption(field, id, noQuery);
    expect(chosen).not.toEqual(noQuery);
    expect(chooseOption(field, id, chosen)).toEqual(noQuery);
  }
});
