import stringWidth from "string-width";
import { expect, test } from "vitest";
import { tableLines, truncate, type Column } from "./table.ts";

interface Train {
  name: string;
  cars: number;
}
const layout: Column<Train>[] = [
  { title: "NAME", cell: ({ name }) => name, shrinkTo: 4 },
  { title: "CARS", cell: ({ cars }) => String(cars), align: "right" },
];
const trains = [
  { name: "東京急行", cars: 8 },
  { name: "🚂 local", cars: 120 },
];

test("columns stand under each other whatever is in them, numbers at the right", () => {
  expect(tableLines(layout, trains, undefined)).toEqual(["NAME      CARS", "東京急行     8", "🚂 local   120"]);
});

test("a narrow terminal gets lines that fit, with what gives way cut visibly", () => {
  const lines = tableLines(layout, trains, 12);
  expect(lines).toEqual(["NAME    CARS", "東京…      8", "🚂 lo…   120"]);
  for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(12);
});

test("styles change no width", () => {
  const styled = tableLines(
    layout.map((column) => ({ ...column, style: (text: string) => `\u001b[1m${text}\u001b[0m` })),
    trains,
    12,
  );
  expect(styled.map((line) => stringWidth(line))).toEqual(
    tableLines(layout, trains, 12).map((line) => stringWidth(line)),
  );
});

test("a text is never cut inside of what is seen as one character", () => {
  expect(truncate("👩‍🚀👩‍🚀", 3)).toBe("👩‍🚀…");
  expect(truncate("abc", 3)).toBe("abc");
  expect(truncate("abcd", 3)).toBe("ab…");
  expect(truncate("abcd", 0)).toBe("");
});
