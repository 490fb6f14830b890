import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { defaultPatterns } from "./default-patterns.ts";
import { MARK } from "./mark.ts";
import { PatternSet, type SecretPattern } from "./pattern-set.ts";
import { Redactor } from "./redactor.ts";

function redactorOf(patterns: readonly SecretPattern[], privateKeys = false): Redactor {
  return new Redactor({ values: [], patterns: new PatternSet(patterns, { privateKeys }) });
}

const defaults = redactorOf(defaultPatterns, true);
const random = "Zx8Kq2Lm9Vb4Nc7Rt1Yw6Hs3Df5Gj0PaQeUiOoTzXcVbNmAsDfGh";
const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.${random.slice(0, 43)}`;

describe("the well-known shapes of secrets", () => {
  test.each([
    ["key AKIAIOSFODNN7EXAMPLE.", `key ${MARK}.`],
    [`AWS_SECRET_ACCESS_KEY=${random.slice(0, 40)}`, `AWS_SECRET_ACCESS_KEY=${MARK}`],
    [`"SecretAccessKey": "${random.slice(0, 40)}",`, `"SecretAccessKey": "${MARK}",`],
    [`aws_session_token = ${random}${random}==`, `aws_session_token = ${MARK}`],
    [`ghp_${random.slice(0, 36)} and ghs_${random.slice(2, 38)}`, `${MARK} and ${MARK}`],
    [`github_pat_${random}`, MARK],
    [`glpat-${random.slice(0, 20)}`, MARK],
    [`xoxb-${random}`, MARK],
    [`sk_live_${random.slice(0, 24)}`, MARK],
    [`AIza${random.slice(0, 35)}`, MARK],
    [`npm_${random.slice(0, 36)}`, MARK],
    [`pypi-AgE${random}${random}`, MARK],
    [`sk-ant-${random}`, MARK],
    [`token=${jwt};`, `token=${MARK};`],
    [`Authorization: Bearer ${random}`, `Authorization: Bearer ${MARK}`],
    [`authorization: bearer ${jwt}`, `authorization: bearer ${MARK}`],
    ["Authorization: Basic bWU6c2VjcmV0", `Authorization: Basic ${MARK}`],
    [`{"authorization":"token ${random}"}`, `{"authorization":"token ${MARK}"}`],
    ["postgres://me:pass@db:5432/x", `postgres://me:${MARK}@db:5432/x`],
    ["redis://:p@ss:w@cache/0 ok", `redis://:${MARK}@cache/0 ok`],
  ])("%s", (line, masked) => {
    expect(defaults.text(line)).toBe(masked);
  });

  test.each([
    "see https://example.com:8080/path@v2?x=a:b@c and http://host/a:b@c",
    "Bearer of bad news, bearer tokens: none",
    "the authorization: basic rules apply",
    "-----BEGIN CERTIFICATE-----",
    "AKIA is a prefix, so is ghp_ and eyJ.eyJ",
    "npm_config_registry=https://registry.npmjs.org/",
    `already postgres://me:${MARK}@db`,
  ])("leave alone: %s", (line) => {
    expect(defaults.text(line)).toBe(line);
  });

  test.each(["pkcs8", "pkcs1"] as const)(
    "know a private key (%s) line by line, whatever stands before its lines",
    (type) => {
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
      const key = privateKey.export({ type, format: "pem" }).toString().trimEnd().split("\n");
      const body = key.slice(1, -1);
      const masked = [key[0], ...body.map(() => MARK), key.at(-1)];
      expect(defaults.text(["before", ...key, "after all this"].join("\n")).split("\n")).toEqual([
        "before",
        ...masked,
        "after all this",
      ]);
      const prefixed = key.map((line, i) => `12:00:0${i % 10} web | ${line}`).join("\n");
      for (const line of body) expect(defaults.text(prefixed)).not.toContain(line);
      expect(defaults.text(JSON.stringify({ key: key.join("\n"), more: 1 }))).toBe(
        `{"key":"${key[0] ?? ""}${MARK}${key.at(-1) ?? ""}","more":1}`,
      );
    },
  );

  test("know the headers of an encrypted private key, and that a key that does not go on is over", () => {
    const text = [
      "-----BEGIN RSA PRIVATE KEY-----",
      "Proc-Type: 4,ENCRYPTED",
      "DEK-Info: AES-256-CBC,0011223344556677",
      "",
      random + random.slice(0, 12),
      "short==",
      "the program went on with something else, which is a longer line of words",
    ];
    expect(defaults.text(text.join("\n")).split("\n")).toEqual([...text.slice(0, 4), MARK, MARK, text[6]]);
  });
});

test("the guide names each well-known shape", () => {
  const guide = readFileSync(new URL("../../../../docs/worker.md", import.meta.url), "utf8");
  expect(defaultPatterns.map(({ name }) => name).filter((name) => !guide.includes(`| \`${name}\` `))).toEqual([]);
});

describe("patterns of one's own", () => {
  test("mask the match, or the first group that takes part in it, each occurrence", () => {
    const redactor = redactorOf([
      { name: "card", pattern: "[0-9]{4}-[0-9]{4}" },
      { name: "pin", pattern: "pin=(\\d+)|code=(\\w+)" },
    ]);
    expect(redactor.text("1234-5678 pin=42 x code=ab 1111-2222\npin=7")).toBe(
      `${MARK} pin=${MARK} x code=${MARK} ${MARK}\npin=${MARK}`,
    );
  });

  test("overlapping are masked together, and lines stay lines", () => {
    const redactor = redactorOf([
      { name: "one", pattern: "abc.*" },
      { name: "two", pattern: "cdef" },
      { name: "all", pattern: "(?s)zz.*" },
    ]);
    let count = 0;
    expect(redactor.text("xabcdefg\nzz\r\nzz", () => count++)).toBe(`x${MARK}\n${MARK}\r\n${MARK}`);
    expect(count).toBe(3);
  });

  test("work on bytes that are no text, and take time that grows with the line only", () => {
    const set = new PatternSet([{ name: "evil", pattern: "(a+)+€" }], { privateKeys: false });
    expect(set.find(Buffer.from([0xff, 0xfe, 0x00, 0x61]))).toBeUndefined();
    expect(set.find(Buffer.from(`\xff${"a".repeat(60_000)}`, "latin1"))).toBeUndefined();
    expect(set.find(Buffer.from(`ü${"a".repeat(50)}€`))?.endAround(2)).toBe(52);
  });
});
