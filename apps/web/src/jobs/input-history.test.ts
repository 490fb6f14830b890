import { expect, test } from "vitest";
import { InputHistory } from "./input-history.ts";

test("goes back through what was sent and forth again to what was being typed", () => {
  const history = new InputHistory();
  for (const text of ["a", "b", "b", "", "c"]) history.add(text);
  expect([history.older("dra"), history.older(""), history.older(""), history.older("")]).toEqual([
    "c",
    "b",
    "a",
    undefined,
  ]);
  expect([history.newer(), history.newer(), history.newer(), history.newer()]).toEqual(["b", "c", "dra", undefined]);
});
