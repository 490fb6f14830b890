import { expect, test } from "vitest";
import { jobPath, parseRoute, workersPath } from "./route.ts";

const route = (path: string) => parseRoute(new URL(path, "http://localhost:8080"));

test("the root shows jobs in the named view", () => {
  expect(route("/")).toEqual({ page: "jobs", view: "now" });
  expect(route("/jobs")).toEqual({ page: "jobs", view: "now" });
  expect(route("/?view=paused")).toEqual({ page: "jobs", view: "paused" });
});

test("a job's URL names attempt, marked lines and whether late ones are shown", () => {
  expect(route("/jobs/j-1?late=shown")).toMatchObject({ attempt: undefined, late: true });
  expect(route("/jobs/j-1?attempt=2&line=120-140")).toEqual({
    page: "job",
    id: "j-1",
    attempt: 2,
    late: false,
    marked: { from: 120, to: 140 },
  });
  expect(route("/jobs/j-1?attempt=x&line=")).toEqual({
    page: "job",
    id: "j-1",
    attempt: undefined,
    late: false,
    marked: undefined,
  });
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
  expect([route("/audit"), route("/jobs/a/b"), route("/workers/a")].map(({ page }) => page)).toEqual([
    "nowhere",
    "nowhere",
    "nowhere",
  ]);
});
