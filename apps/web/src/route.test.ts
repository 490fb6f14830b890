import { JobState } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { noQuery } from "./jobs/list/job-query.ts";
import { jobPath, jobsPath, parseRoute, workersPath } from "./route.ts";

const route = (path: string) => parseRoute(new URL(path, "http://localhost:8080"));

test("the root shows jobs in the named view", () => {
  const now = { page: "jobs", view: "now", query: noQuery, sort: undefined };
  expect(route("/")).toEqual(now);
  expect(route("/jobs")).toEqual(now);
  expect(route("/?view=paused")).toEqual({ ...now, view: "paused" });
});

test("the page of jobs keeps view, filters and sort in its URL", () => {
  const place = {
    view: "waiting",
    query: {
      states: [JobState.RUNNING, JobState.FAILED],
      type: "index & more",
      worker: "box:1",
      labels: { team: "search=a,b", pool: "" },
      text: "nightly 100 %",
      wrong: [{ field: "state", value: "broken" }],
    },
    sort: { column: "errors", down: true },
  } as const;
  expect(route(jobsPath(place))).toEqual({ page: "jobs", ...place });
  expect(jobsPath({})).toBe("/");
  expect(route("/?state=running,broken&sort=-colour&label=")).toEqual({
    ...{ page: "jobs", view: "now", sort: undefined },
    query: { ...noQuery, states: [JobState.RUNNING], wrong: [{ field: "state", value: "broken" }] },
  });
});

test("a job's URL names attempts that are shown side by side", () => {
  expect(route("/jobs/j-1?compare=1,3,x")).toMatchObject({ compare: [1, 3] });
  expect(route("/jobs/j-1?compare=newest")).toMatchObject({ compare: [] });
  expect(route("/jobs/j-1")).toMatchObject({ compare: undefined });
});

test("a job's URL names attempt, marked lines and whether late ones are shown", () => {
  expect(route("/jobs/j-1?late=shown")).toMatchObject({ attempt: undefined, late: true });
  expect(route("/jobs/j-1?attempt=2&line=120-140")).toEqual({
    page: "job",
    id: "j-1",
    attempt: 2,
    late: false,
    marked: { from: 120, to: 140 },
    span: undefined,
    compare: undefined,
  });
  expect(route("/jobs/j-1?attempt=x&line=")).toEqual({
    page: "job",
    id: "j-1",
    attempt: undefined,
    late: false,
    marked: undefined,
    span: undefined,
    compare: undefined,
  });
  const span = { fromUs: Date.UTC(2026, 10, 21, 18, 6, 20) * 1000, toUs: Date.UTC(2026, 10, 21, 18, 7) * 1000 };
  expect(route("/jobs/j-1?span=20261121T180620Z-20261121T180700Z")).toMatchObject({ span });
  expect(route(jobPath("a/b %"))).toMatchObject({ page: "job", id: "a/b %" });
  expect(route("/jobs/%")).toMatchObject({ page: "job", id: "%" });
});

test("the page of workers keeps the open worker, view, words and fold in its URL", () => {
  const place = { worker: "a:b c", view: "draining", query: "zone=a gpu", unfolded: true } as const;
  expect(route(workersPath(place))).toEqual({ page: "workers", ...place });
  expect(workersPath({})).toBe("/workers");
  expect(route("/workers/")).toEqual({ page: "workers", worker: undefined, view: "all", query: "", unfolded: false });
});

test("other paths lead nowhere", () => {
  expect([route("/audit/a"), route("/jobs/a/b"), route("/workers/a")].map(({ page }) => page)).toEqual([
    "nowhere",
    "nowhere",
    "nowhere",
  ]);
});
