import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_LITERAL_BYTES, MIN_SECRET_LENGTH } from "./mark.ts";
import { Redactor } from "./redactor.ts";
import { secretForms } from "./secret-forms.ts";

function redactorOf(...values: string[]): Redactor {
  return new Redactor({ values, patterns: undefined });
}

const secret = `p&ss "w0rd"/ü\\~+'x`;

describe("the forms of a secret", () => {
  test.each([
    ["as it is", secret],
    ["with the white space around it", `  ${secret}\n`],
    ["as JSON", JSON.stringify(secret)],
    ["as JSON in JSON", JSON.stringify(JSON.stringify(secret))],
    ["as JSON of Python", `"p&ss \\"w0rd\\"/\\u00fc\\\\~+'x"`],
    ["as JSON of Go", `"p\\u0026ss \\"w0rd\\"/ü\\\\~+'x"`],
    ["as JSON of .NET", `"p\\u0026ss \\u0022w0rd\\u0022/\\u00FC\\\\~\\u002B\\u0027x"`],
    ["as JSON of PHP", `"p&ss \\"w0rd\\"\\/ü\\\\~+'x"`],
    ["in a URL", encodeURIComponent(secret)],
    ["in a form", new URLSearchParams({ "": secret }).toString().slice(1)],
    ["in a URL in lower case", encodeURIComponent(secret).toLowerCase()],
    ["in single quotes of a shell", `'p&ss "w0rd"/ü\\~+'\\''x'`],
    ["as Python shows text with both quotes", `'p&ss "w0rd"/ü\\\\~+\\'x'`],
    ["in base64", Buffer.from(secret).toString("base64")],
    ["in base64 of a URL", Buffer.from(secret).toString("base64url")],
    ["in base64 with a newline", Buffer.from(`${secret}\n`).toString("base64")],
  ])("are masked: %s", (_, text) => {
    expect(redactorOf(secret).text(`<${text}>`)).toMatch(/^<["' ]{0,3}(?:\\")?\[redacted\](?:\\")?["'\s]{0,3}>$/);
  });

  test("are masked in base64 of something longer, but for the characters that hold other bytes, too", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", minLength: MIN_SECRET_LENGTH, maxLength: 40 }),
        fc.uint8Array({ maxLength: 10 }),
        fc.uint8Array({ maxLength: 10 }),
        fc.constantFrom("base64" as const, "base64url" as const),
        (value, before, after, encoding) => {
          fc.pre(value === value.trim().toWellFormed());
          const bytes = Buffer.from(value);
          const encoded = Buffer.concat([before, bytes, after]).toString(encoding);
          const masked = redactorOf(value).text(encoded);
          // The group of three bytes in which the secret begins, and the one in which it ends, may stay.
          const kept = masked.replace("[redacted]", "");
          expect(kept.length).toBeLessThanOrEqual(encoded.length - Math.floor((bytes.length * 8) / 6) + 2);
          expect(masked).toContain("[redacted]");
        },
      ),
    );
  });

  test("of many lines are masked whole and line by line, and as base64 in lines", () => {
    const lines = Array.from({ length: 20 }, (_, i) => Buffer.from(`line ${i * 7919} of a key`).toString("base64url"));
    const key = lines.join("\n");
    const redactor = redactorOf(`${key}\n`);
    expect(redactor.text(`key: ${key}.`)).toBe(`key: ${lines.map(() => "[redacted]").join("\n")}.`);
    expect(redactor.text(`key: ${key.replaceAll("\n", "\r\n  ")}`)).toBe(
      `key: ${lines.map(() => "[redacted]").join("\r\n  ")}`,
    );
    expect(redactor.text(JSON.stringify({ key }))).toBe('{"key":"[redacted]"}');
    for (const width of [64, 76]) {
      const wrapped = Buffer.from(`${key}\n`)
        .toString("base64")
        .replace(new RegExp(`.{${width}}`, "g"), "$&\n");
      for (const line of redactor.text(wrapped).split("\n"))
        expect(line.replaceAll("[redacted]", "").length).toBeLessThan(6);
    }
  });

  test("of a key in PEM leave its frame alone where it stands around another key", () => {
    const frame = ["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"];
    const redactor = redactorOf(frame.join("\nc2VjcmV0IGtleQ==\n"));
    expect(redactor.text(frame.join("\nsomething else\n"))).toBe(frame.join("\nsomething else\n"));
    expect(redactor.text("c2VjcmV0IGtleQ==")).toBe("[redacted]");
  });

  test("are no longer than what may be held back, however long the secret is, and none is too short", () => {
    for (const length of [0, 5, 6, 100, 4095, 4097, 20_000]) {
      const value = Buffer.alloc(length, "0123456789abcdef§").toString("latin1");
      for (const form of secretForms(value)) {
        expect(form.length).toBeLessThanOrEqual(MAX_LITERAL_BYTES);
        expect(form.length).toBeGreaterThanOrEqual(MIN_SECRET_LENGTH);
      }
      if (length >= MIN_SECRET_LENGTH) expect(redactorOf(value).text(`<${value}>`)).toBe("<[redacted]>");
      else expect(secretForms(value)).toEqual([]);
    }
  });
});
