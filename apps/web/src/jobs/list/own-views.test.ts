import fc from "fast-check";
import { expect, test } from "vitest";
import { jobsPath, parseRoute, type JobsPlace } from "../../route.ts";
import {
  longestName,
  mostViews,
  ownView,
  readOwnViews,
  renamed,
  takenBack,
  withView,
  writeOwnViews,
  type OwnView,
} from "./own-views.ts";

function place(query: string): JobsPlace {
  const route = parseRoute(new URL(`http://page/?${query}`));
  if (route.page !== "jobs") throw new Error("not a place of the Jobs page");
  return route;
}
const view = (name: string, query: string) => ownView(name, place(query));
const names = (views: readonly OwnView[] | string) =>
  typeof views === "string" ? views : views.map(({ name }) => name);
const two = [view("a", "type=a"), view("b", "type=b")];

test("a place is the same view in whatever order its URL names things", () => {
  const { path } = view("", "q=+x+&label=b&label=a%3D1&state=running,waiting&view=now&unknown=1");
  expect(path).toBe(view("", "state=waiting%2Crunning&label=a%3D1&label=b&q=x").path);
  expect(path).not.toBe(view("", "label=a%3D1&label=b&q=x").path);
});

test("views come back from the browser as they were kept, whatever they look for", () => {
  const text = fc.string({ unit: "binary", maxLength: 30 });
  const query = fc.record({ type: text, q: text, worker: text, label: text, view: fc.constantFrom("now", "running") });
  fc.assert(
    fc.property(fc.array(query, { maxLength: 6 }), (queries) => {
      const views = queries.map((each, index) => {
        const search = new URLSearchParams({ ...each, sort: "-errors", q: `${each.q}${index}` });
        return view(`view ${index}`, search.toString());
      });
      const back = readOwnViews(writeOwnViews(views));
      expect(back).toEqual(views);
      for (const { path, place: shown } of back) expect(path).toBe(jobsPath(shown));
    }),
  );
});

test.each([
  ["nothing", null],
  ["half of it", '[{"name":"a","query":"ty'],
  ["something else", '{"version":2}'],
  ["no views", '[1,null,"a",{"name":1,"query":"type=a"},{"name":"a"},[]]'],
  ["nothing to keep", '[{"name":"a","query":""},{"name":"b","query":"view=running"},{"name":"c","query":"#type=a"}]'],
  ["names nobody could have given", '[{"name":"","query":"type=a"},{"name":" a","query":"type=a"}]'],
  ["names of built-in views", '[{"name":"running","query":"type=a"}]'],
  ["a long name", JSON.stringify([{ name: "n".repeat(longestName + 1), query: "type=a" }])],
  ["a long query", JSON.stringify([{ name: "a", query: `type=${"t".repeat(2_000)}` }])],
])("a kept value that is broken is left out: %s", (_, text) => {
  expect(readOwnViews(text)).toEqual([]);
});

test("of broken views only those are left out, of two of a name or a place the second, and beyond fifty all", () => {
  const one = { name: "a", query: "type=a" };
  const kept = (entries: readonly unknown[]) => names(readOwnViews(JSON.stringify(entries)));
  expect(kept([null, one, { name: "A", query: "type=b" }, { name: "b", query: "type=a&sort=none" }])).toEqual(["a"]);
  const many = Array.from({ length: mostViews + 1 }, (_, index) => ({ name: `v${index}`, query: `type=${index}` }));
  expect(kept(many)).toHaveLength(mostViews);
});

test("a view that is saved comes last, or in the place of the one of its name; faults are in words", () => {
  expect(names(withView(two, view("c", "type=c")))).toEqual(["a", "b", "c"]);
  expect(names(withView(two, view("A", "type=c")))).toEqual(["A", "b"]);
  expect(withView(two, view("", "type=c"))).toBe("A name is missing.");
  expect(withView(two, view("needs YOU", "type=c"))).toBe("‘Needs you’ is always there. Choose another name.");
  expect(withView(two, view("c", `type=${"t".repeat(2_000)}`))).toBe("The filter is too long to keep.");
  const full = Array.from({ length: mostViews }, (_, index) => view(`v${index}`, `type=${index}`));
  expect(withView(full, view("c", "type=c"))).toMatch(/^50 views are the most/);
  expect(names(withView(full, view("v7", "type=c")))).toHaveLength(mostViews);
});

test("a change is taken back without what others did since", () => {
  const c = view("c", "type=c");
  const back = (after: readonly OwnView[] | string, now: readonly OwnView[]) =>
    names(typeof after === "string" ? after : takenBack(now, two, after));
  expect(back([...two.slice(1)], [...two.slice(1), c])).toEqual(["a", "b", "c"]);
  const taken = renamed(two, "a", "b");
  expect(names(taken)).toEqual(["b"]);
  expect(back(taken, [view("b", "type=a"), c])).toEqual(["a", "b", "c"]);
  expect(back([...two.slice(1)], [view("A", "type=x")])).toBe("another view has the place of ‘a’ by now.");
  expect(renamed(two, "gone", "x")).toBe("There is no view ‘gone’ any more.");
});
