import { describe, expect, test } from "vitest";
import { maskedStart } from "./masked-start.ts";
import { readRedaction, type RedactOptions } from "./redact-options.ts";

const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl`;
const text = `tok-own-123 a-token-123 b-value-123 c-given-123 id-4711 ${jwt}`;
const env = { SIGNALBOX_TOKEN: "tok-own-123", A_TOKEN: "a-token-123", B: "b-value-123" };

function masked(options: RedactOptions, more: Record<string, string> = {}): string {
  return readRedaction(options, { ...env, ...more })
    .redactor.text(text)
    .replaceAll("[redacted]", "*");
}

describe("what is masked", () => {
  test("is, unless told, the own token, variables whose names say so, and well-known shapes", () => {
    expect(masked({})).toBe("* * b-value-123 c-given-123 id-4711 *");
  });

  test("is more by values, names of variables, and patterns, from options and the environment together", () => {
    expect(masked({ values: ["c-given-123"], environment: ["B"], patterns: ["id-\\d+"] })).toBe("* * * * * *");
    expect(
      masked(
        { values: ["c-given-123"] },
        { SIGNALBOX_REDACT_ENV: "GONE, B", SIGNALBOX_REDACT_PATTERNS: "x\n id-(\\d+)" },
      ),
    ).toBe("* * * * id-* *");
  });

  test("is less by exceptions, without the well-known shapes, or when it is off, but for the own token", () => {
    expect(masked({ except: ["A_TOKEN"] })).toBe("* a-token-123 b-value-123 c-given-123 id-4711 *");
    expect(masked({}, { SIGNALBOX_REDACT_EXCEPT: "A_TOKEN" })).toBe("* a-token-123 b-value-123 c-given-123 id-4711 *");
    expect(masked({ defaultPatterns: false })).toBe(`* * b-value-123 c-given-123 id-4711 ${jwt}`);
    expect(masked({}, { SIGNALBOX_REDACT_DEFAULTS: "off" })).toBe(`* * b-value-123 c-given-123 id-4711 ${jwt}`);
    expect(masked({ off: true, values: ["c-given-123"] })).toBe(text.replace("tok-own-123", "*"));
    expect(masked({}, { SIGNALBOX_REDACT: "off" })).toBe(text.replace("tok-own-123", "*"));
    expect(masked({ off: false }, { SIGNALBOX_REDACT: "off" })).toBe("* * b-value-123 c-given-123 id-4711 *");
  });

  test("is said to be too little for a variable that is too short", () => {
    expect(readRedaction({ environment: ["PIN"] }, { PIN: "1234" }).notices).toEqual([
      "the value of PIN is not masked: it is shorter than 6 characters",
    ]);
    expect(readRedaction({}, { SIGNALBOX_TOKEN: "", A_TOKEN: "x" }).notices).toEqual([]);
  });

  test("cannot be a pattern that is none, or a value that is too short", () => {
    expect(() => readRedaction({ patterns: ["(abc"] }, {})).toThrow(
      /^the pattern "\(abc" for secrets cannot be used: .*missing/,
    );
    expect(() => readRedaction({ patterns: ["(a)\\1"] }, {})).toThrow(
      'the pattern "(a)\\\\1" for secrets cannot be used',
    );
    expect(() => readRedaction({ values: ["short"] }, {})).toThrow("a value to mask has 5 characters");
    expect(() => readRedaction({ patterns: ["a".repeat(1001)] }, {})).toThrow("1001 characters");
    expect(() => readRedaction({ patterns: Array.from({ length: 101 }, () => "abc") }, {})).toThrow("101 patterns");
  });

  test.each(["maybe", "OFF", "On", " off", "false", "no", "0"])("is not said by a switch that is %j", (word) => {
    for (const name of ["SIGNALBOX_REDACT", "SIGNALBOX_REDACT_DEFAULTS"])
      expect(() => readRedaction({}, { [name]: word })).toThrow(
        `${name} is ${JSON.stringify(word)}: it must be 'on' or 'off'`,
      );
  });

  test("is bounded: what is over the bound is named", () => {
    const { notices, redactor } = readRedaction({ values: ["x".repeat(70_000), "c-given-123"] }, {});
    expect(notices).toEqual(["secrets not masked: 1; at most 1000 are, each of 65536 characters or less"]);
    expect(redactor.text("c-given-123")).toBe("[redacted]");
  });
});

test("what people see of a job that a worker begins itself is masked, its parameters are not", () => {
  const { redactor } = readRedaction({ values: ["c-given-123"] }, {});
  const parameters = { key: "c-given-123" };
  expect(maskedStart({ name: "with c-given-123", labels: { by: "c-given-123" }, parameters }, redactor)).toEqual({
    name: "with [redacted]",
    labels: { by: "[redacted]" },
    parameters,
  });
  expect(maskedStart({}, redactor)).toEqual({ labels: {} });
});
