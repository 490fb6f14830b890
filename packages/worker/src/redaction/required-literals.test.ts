import fc from "fast-check";
import { RE2JS } from "re2js";
import { describe, expect, test } from "vitest";
import { defaultPatterns } from "./default-patterns.ts";
import { requiredLiterals } from "./required-literals.ts";

describe("what a text needs to match a pattern", () => {
  test.each([
    ["AKIA[0-9A-Z]{16}", ["AKIA"]],
    ["(?:foo|ba+r|bazz)-\\d+", ["foo", "ba", "bazz"]],
    ["key_(?P<value>[a-z]+)_end\\.txt", ["_end.txt"]],
    ["ab?cde*f", ["cd"]],
    ["x{3}yz", ["yz"]],
    ["(abc)?de", ["de"]],
    ["[]a-c[:alpha:]\\]x]longer", ["longer"]],
    ["(?:abc)+d", ["abc"]],
  ])("is read from %s", (pattern, needs) => {
    expect(requiredLiterals(pattern)).toEqual(needs);
  });

  test.each(["(?i)abc", "[0-9]{16}", "a|", "abc|\\d+", "\\x41bc", "\\pLabc", "(abc", "a**b", "x{0,3}"])(
    "is not known of %s",
    (pattern) => {
      expect(requiredLiterals(pattern)).toBeUndefined();
    },
  );

  test("is in every text that matches, whatever the pattern", () => {
    const character = fc.constantFrom("a", "b", "c", ".", "[ab]", "[^a]", "\\.", "\\b", "^", "$");
    const { pattern: patterns } = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
      atom: fc.oneof(
        { withCrossShrink: true, maxDepth: 3 },
        character,
        tie("pattern").map((each) => `(?:${each})`),
      ),
      pattern: fc
        .array(fc.tuple(tie("atom"), fc.constantFrom("", "", "", "?", "*", "+", "{2}", "{0,1}", "|")), { maxLength: 5 })
        .map((parts) =>
          parts.map(([atom, after]) => (/^(?:\\b|\^|\$)$/.test(atom) && after !== "|" ? atom : atom + after)).join(""),
        ),
    }));
    fc.assert(
      fc.property(
        patterns,
        fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c", "."), maxLength: 8 })),
        (pattern, texts) => {
          const needs = requiredLiterals(pattern);
          if (!needs) return;
          const regex = RE2JS.compile(pattern);
          for (const text of texts)
            if (regex.matcher(text).find()) expect(needs.some((each) => text.includes(each))).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("is known of every default pattern", () => {
    for (const { anyOf, pattern } of defaultPatterns)
      expect((anyOf ?? requiredLiterals(pattern))?.every(({ length }) => length >= 4)).toBe(true);
  });
});
