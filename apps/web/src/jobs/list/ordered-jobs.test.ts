import fc from "fast-check";
import type { JobRecord } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { jobRecord } from "../samples.ts";
import { extended, idsOf, toggled } from "./id-sets.ts";
import { OrderedJobs, type OrderRule } from "./ordered-jobs.ts";

interface Entry {
  readonly job: JobRecord;
  readonly key: number;
}

/** Jobs by their priority, which stands in a label; those below 0 do not belong. */
const rule: OrderRule<Entry> = {
  entry: (job) => {
    const key = Number(job.labels["key"]);
    return key < 0 ? undefined : { job, key };
  },
  compare: (a, b) => a.key - b.key || (a.job.id < b.job.id ? -1 : 1),
};

test("however jobs come, change and go, the order is that of sorting them anew", () => {
  const step = fc.array(
    fc.record({ id: fc.integer({ min: 0, max: 12 }), key: fc.option(fc.integer({ min: -2, max: 5 })) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const jobs = new Map<string, JobRecord>();
      const kept = new OrderedJobs(rule);
      for (const changes of steps) {
        for (const { id, key } of changes) {
          if (key === null) jobs.delete(`j-${id}`);
          else jobs.set(`j-${id}`, jobRecord({ id: `j-${id}`, labels: { key: String(key) } }));
        }
        const changed = idsOf(changes.map(({ id }) => `j-${id}`));
        kept.update(
          changed,
          (id) => jobs.get(id),
          () => jobs.values(),
        );
        const anew = new OrderedJobs(rule);
        anew.rebuild(jobs.values());
        expect(kept.ids()).toEqual(anew.ids());
      }
    }),
  );
});

test("what did not change is not looked at again", () => {
  const jobs = new Map(
    Array.from({ length: 1_000 }, (_, i) => [`j-${i}`, jobRecord({ id: `j-${i}`, labels: { key: `${i % 7}` } })]),
  );
  let looked = 0;
  const counting = new OrderedJobs({ ...rule, entry: (job) => (looked++, rule.entry(job)) });
  counting.rebuild(jobs.values());
  expect(looked).toBe(1_000);
  jobs.set("j-5", jobRecord({ id: "j-5", labels: { key: "0" } }));
  counting.update(
    idsOf(["j-5"]),
    (id) => jobs.get(id),
    () => jobs.values(),
  );
  expect(looked).toBe(1_001);
});

test("a range goes from the row that was chosen last, either way; without one it is the row alone", () => {
  const rows = ["a", "b", "c", "d"];
  const from = (anchor: string | undefined, id: string, ids = idsOf([])) => [...extended(ids, rows, anchor, id)];
  expect(from("b", "d")).toEqual(["b", "c", "d"]);
  expect(from("c", "a")).toEqual(["a", "b", "c"]);
  expect(from(undefined, "c")).toEqual(["c"]);
  expect(from("gone", "c")).toEqual(["c"]);
  expect(from("a", "gone", idsOf(["x"]))).toEqual(["x"]);
  expect(from("a", "b", idsOf(["d"]))).toEqual(["d", "a", "b"]);
  expect([...toggled(toggled(idsOf(["a"]), "b"), "a")]).toEqual(["b"]);
});
