import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Classifier, lineClasses, type LineClass, type Truth } from "./classify.ts";
import { Intervals } from "./intervals.ts";

type Step = { readonly from: number; readonly to: number; readonly kind: "right" | "wrong" | "gap" };

function classify(steps: readonly Step[], truth: Truth) {
  const classifier = new Classifier();
  for (const { from, to, kind } of steps) {
    if (kind === "gap") classifier.miss(from, to);
    else classifier.see(from, to, kind === "right");
  }
  return classifier.finish(truth);
}

/** The same by the definition of the classes, line by line. */
function slowly(steps: readonly Step[], { printed, promised, excused }: Truth): Record<LineClass, number> {
  const places = new Map<number, Step["kind"][]>();
  const behind = new Set<number>();
  let highest = 0;
  for (const { from, to, kind } of steps) {
    for (let number = from; number < to; number++) {
      if (number < highest) behind.add(number);
      places.set(number, [...(places.get(number) ?? []), kind]);
      highest = Math.max(highest, number);
    }
  }
  const counts = Object.fromEntries(lineClasses.map((name) => [name, 0])) as Record<LineClass, number>;
  for (let number = 1; number <= printed; number++) counts[classOf(number)]++;
  return counts;

  function classOf(number: number): LineClass {
    const kinds = places.get(number) ?? [];
    if (kinds.includes("wrong")) return "altered";
    if (kinds.length > 1) return "duplicate";
    if (behind.has(number)) return "reordered";
    if (kinds[0] === "right") return "ok";
    if (number <= promised && !excused?.has(number)) return "lost";
    return kinds[0] === "gap" ? "declared" : "unknown";
  }
}

const step = fc.record({
  from: fc.integer({ min: 1, max: 40 }),
  length: fc.integer({ min: 1, max: 12 }),
  kind: fc.constantFrom("right" as const, "right" as const, "wrong" as const, "gap" as const),
});
const steps = fc
  .array(step, { maxLength: 12 })
  .map((all) => all.map(({ from, length, kind }): Step => ({ from, to: from + length, kind })));
const truth = fc
  .tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 50 }))
  .map(([a, b]): Truth => ({ printed: Math.max(a, b), promised: Math.min(a, b) }));
const excused = fc.nat(40).map((from) => Intervals.of({ from, to: from + 5 }));

describe("the classifier", () => {
  test("gives each printed line the class that its definition says, whatever the order of what a reader got", () => {
    fc.assert(
      fc.property(steps, truth, excused, (got, truth, excused) => {
        const known = { ...truth, excused };
        const { counts } = classify(got, known);
        expect(counts).toEqual(slowly(got, known));
        expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(known.printed);
      }),
      { numRuns: 1000 },
    );
  });

  test("finds nothing broken when all promised lines are there once and in order, and the rest was cut off at the end", () => {
    fc.assert(
      fc.property(truth, fc.nat(50), ({ printed, promised }, more) => {
        const stored = Math.min(printed, promised + more);
        const { broken, counts, invented } = classify([{ from: 1, to: stored + 1, kind: "right" }], {
          printed,
          promised,
        });
        expect([broken, invented, counts.ok, counts.unknown]).toEqual([[], 0, stored, printed - stored]);
      }),
    );
  });

  test("finds any single damage to what is promised", () => {
    const damage = fc.constantFrom("drop", "double", "swap", "alter", "declare");
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), damage, (printed, where, what) => {
        const at = 1 + (where % (printed - 1));
        const each = Array.from({ length: printed }, (_, i): Step => ({ from: i + 1, to: i + 2, kind: "right" }));
        const line = each[at - 1];
        const next = each[at];
        if (!line || !next) throw new Error("there are at least two lines");
        const damaged = {
          drop: each.toSpliced(at - 1, 1),
          double: each.toSpliced(at, 0, line),
          swap: each.toSpliced(at - 1, 2, next, line),
          alter: each.with(at - 1, { ...line, kind: "wrong" as const }),
          declare: each.with(at - 1, { ...line, kind: "gap" as const }),
        }[what];
        const { broken } = classify(damaged ?? [], { printed, promised: printed });
        expect(broken).toHaveLength(1);
      }),
    );
  });

  test("calls a hole broken even where nothing was promised, as long as something follows it", () => {
    const got: Step[] = [
      { from: 1, to: 5, kind: "right" },
      { from: 8, to: 10, kind: "right" },
    ];
    expect(classify(got, { printed: 20, promised: 0 }).broken).toEqual([
      "3 lines are missing in the middle without a declared gap: 5 to 7",
    ]);
    expect(
      classify([...got.slice(0, 1), { from: 5, to: 8, kind: "gap" }, ...got.slice(1)], { printed: 20, promised: 0 })
        .broken,
    ).toEqual([]);
  });

  test("lets a reader miss what is declared missing where it reads from, if it is told so itself", () => {
    const known = { printed: 9, promised: 9, excused: Intervals.of({ from: 4, to: 6 }) };
    const around: [Step, Step] = [
      { from: 1, to: 4, kind: "right" },
      { from: 6, to: 10, kind: "right" },
    ];
    expect(classify([around[0], { from: 4, to: 6, kind: "gap" }, around[1]], known).broken).toEqual([]);
    expect(classify(around, known).broken).toEqual([
      "2 lines are missing in the middle without a declared gap: 4 to 5",
    ]);
  });

  test("calls lines broken that were never printed, and acknowledgements of them", () => {
    expect(classify([{ from: 1, to: 4, kind: "right" }], { printed: 2, promised: 0 }).broken).toEqual([
      "1 lines are there and never printed: 3",
    ]);
    expect(classify([], { printed: 0, promised: 3 }).broken).toEqual([
      "lines up to 3 were acknowledged, only 0 were printed",
    ]);
  });
});
