import { JobState, type JobRecord } from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseRoute } from "../../route.ts";
import { showing } from "../job-views.ts";
import { jobRecord } from "../samples.ts";
import { queryTest } from "./job-query.ts";
import { ownView, type OwnView } from "./own-views.ts";
import { ViewCounts } from "./view-counts.ts";

const startMs = new Date(2026, 10, 21, 22, 0, 0).getTime();
const views = ["type=a", "type=b&view=ended-today", "view=needs-you&q=1", "state=running", "sort=name"].map((query) => {
  const route = parseRoute(new URL(`http://page/?${query}`));
  if (route.page !== "jobs") throw new Error("not a place of the Jobs page");
  return ownView(query, route);
});

function job(id: number, type: string, state: JobState, endedMs: number): JobRecord {
  const ended = state === JobState.FAILED || state === JobState.SUCCEEDED;
  return jobRecord({ id: `j-${id}`, name: `${id}`, type, state, endedAtUs: ended ? BigInt(endedMs * 1000) : 0n });
}

/** What the counts are by the plain rule. */
function plain(shown: readonly OwnView[], jobs: readonly JobRecord[], nowMs: number): Record<string, number> {
  return Object.fromEntries(
    shown.map(({ path, place }) => {
      const [fits, isShown] = [queryTest(place.query), showing(place.view, nowMs)];
      return [path, jobs.filter((each) => fits(each) && isShown(each)).length];
    }),
  );
}

test("counts are those of a full count, through any changes of jobs, of views and of the hour", () => {
  const step = fc.record({
    jobs: fc.array(
      fc.record({
        id: fc.nat(12),
        type: fc.constantFrom("a", "b"),
        state: fc.constantFrom(JobState.RUNNING, JobState.LOST, JobState.FAILED, JobState.SUCCEEDED),
        gone: fc.boolean(),
      }),
      { maxLength: 4 },
    ),
    hours: fc.constantFrom(0, 0, 1, 3, 24),
    views: fc.subarray(views),
    lost: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const counter = new ViewCounts();
      const room = new Map<string, JobRecord>();
      let nowMs = startMs;
      for (const each of steps) {
        nowMs += each.hours * 3_600_000;
        const changed = new Set<string>();
        for (const { id, type, state, gone } of each.jobs) {
          const next = job(id, type, state, nowMs);
          changed.add(next.id);
          if (gone) room.delete(next.id);
          else room.set(next.id, next);
        }
        const known = {
          changed: each.lost ? undefined : changed,
          find: (id: string) => room.get(id),
          all: () => [...room.values()],
        };
        const counts = Object.fromEntries(counter.update(each.views, known, nowMs));
        expect(counts).toEqual(plain(each.views, [...room.values()], nowMs));
      }
    }),
  );
});

test("a change looks at what changed alone, and not at ten thousand jobs", () => {
  const jobs = Array.from({ length: 10_000 }, (_, id) => job(id, "a", JobState.RUNNING, 0));
  const room = new Map(jobs.map((each) => [each.id, each]));
  const counter = new ViewCounts();
  let looks = 0;
  const find = (id: string) => {
    looks++;
    return room.get(id);
  };
  counter.update(views, { changed: undefined, find, all: () => jobs }, startMs);
  room.set("j-7", job(7, "b", JobState.RUNNING, 0));
  const all = () => expect.fail("all jobs were asked for");
  const counts = counter.update(views, { changed: new Set(["j-7"]), find, all }, startMs);
  expect(looks).toBe(views.length);
  expect(counts.get("/?type=a")).toBe(9_999);
});
