import { expect, test } from "vitest";
import { linesRate } from "./lines-rate.ts";

test("one line a second is one line", () => {
  expect([0.2, 0.9, 212.4].map(linesRate)).toEqual(["0 lines/s", "1 line/s", "212 lines/s"]);
});
