import { expect, test } from "vitest";
import { jsonText, wantsColor } from "./output.ts";

test("colours go to terminals, unless the environment or the option says otherwise", () => {
  expect(wantsColor(undefined, {}, true)).toBe(true);
  expect(wantsColor(undefined, {}, false)).toBe(false);
  expect(wantsColor(undefined, { TERM: "dumb" }, true)).toBe(false);
  expect(wantsColor("auto", { NO_COLOR: "1" }, true)).toBe(false);
  expect(wantsColor("auto", { NO_COLOR: "" }, true)).toBe(true);
  expect(wantsColor("auto", { FORCE_COLOR: "1" }, false)).toBe(true);
  expect(wantsColor("auto", { FORCE_COLOR: "0" }, true)).toBe(false);
  expect(wantsColor("auto", { FORCE_COLOR: "1", NO_COLOR: "1" }, true)).toBe(false);
  expect(wantsColor("always", { NO_COLOR: "1" }, false)).toBe(true);
  expect(wantsColor("never", { FORCE_COLOR: "1" }, true)).toBe(false);
});

test("JSON is one harmless line that means the same", () => {
  const value = { text: "\u001b]52;c;x\u0007 \u009b31m \u202e \u2028 \n ä 🚦" };
  const text = jsonText(value);
  expect(text).not.toMatch(/[\p{Cc}\u202e\u2028]/u);
  expect(JSON.parse(text)).toEqual(value);
});
