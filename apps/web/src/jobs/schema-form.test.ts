import { describe, expect, test } from "vitest";
import { readField, valueText } from "./field-values.ts";
import { boundsText, defaultText } from "./field-words.ts";
import { formFields } from "./schema-form.ts";

const schema = {
  type: "object",
  required: ["folder"],
  properties: {
    folder: { type: "string", title: "Folder", description: "Walked with all below it.", minLength: 1, default: "." },
    minimumSize: { type: "integer", minimum: 0, maximum: 500, default: 10 },
    ratio: { type: "number", exclusiveMinimum: 0 },
    hidden: { type: "boolean", default: true },
    mode: { enum: ["fast", "deep", 3], default: "deep" },
    skip: { type: "array", items: { type: "string" }, default: ["a", "b"], maxItems: 3 },
    env: { type: "object", additionalProperties: { type: "string" } },
    ports: { type: "array", items: { type: "integer" } },
    retry: {
      type: "object",
      required: ["times"],
      properties: { times: { type: "integer", maximum: 9 }, wait: { type: "number", exclusiveMinimum: 0 } },
    },
    size: { oneOf: [{ const: 1, title: "Small" }, { const: 2 }] },
    folderOrNot: { type: ["string", "null"] },
    step: { type: "integer", multipleOf: 5 },
    extra: { type: "object" },
  },
};
const fields = new Map(formFields(schema).map((field) => [field.name, field]));
const field = (name: string) => {
  const found = fields.get(name);
  if (!found) throw new Error(`no field ${name}`);
  return found;
};

describe("a start form from a JSON Schema", () => {
  test("has a field for each property, with label, kind and default", () => {
    expect([...fields.values()].map(({ name, label, kind }) => [name, label, kind])).toEqual([
      ["folder", "Folder", "text"],
      ["minimumSize", "Minimum size", "integer"],
      ["ratio", "Ratio", "number"],
      ["hidden", "Hidden", "switch"],
      ["mode", "Mode", "choice"],
      ["skip", "Skip", "list"],
      ["env", "Env", "map"],
      ["ports", "Ports", "list"],
      ["retry", "Retry", "group"],
      ["size", "Size", "choice"],
      ["folderOrNot", "Folder or not", "text"],
      ["step", "Step", "integer"],
      ["extra", "Extra", "json"],
    ]);
    expect([...fields.values()].map((each) => valueText(each, each.initial))).toEqual([
      ".",
      "10",
      "",
      "true",
      '"deep"',
      "a\nb",
      ...["", "", "", "", "", "", ""],
    ]);
  });

  test("reads what was typed as the schema's type", () => {
    expect(readField(field("folder"), "/srv")).toEqual({ value: "/srv" });
    expect(readField(field("minimumSize"), " 12 ")).toEqual({ value: 12 });
    expect(readField(field("hidden"), "false")).toEqual({ value: false });
    expect(readField(field("mode"), "3")).toEqual({ value: 3 });
    expect(readField(field("skip"), "x\n\n y ")).toEqual({ value: ["x", " y "] });
    expect(readField(field("env"), "PATH=/bin:/usr/bin\nEMPTY=\nURL=a=b")).toEqual({
      value: { PATH: "/bin:/usr/bin", EMPTY: "", URL: "a=b" },
    });
    expect(readField(field("ports"), "80\n443")).toEqual({ value: [80, 443] });
    expect(readField(field("size"), "2")).toEqual({ value: 2 });
    expect(readField(field("extra"), '{"a":1}')).toEqual({ value: { a: 1 } });
  });

  test("leaves an empty field out, unless it is required", () => {
    expect(readField(field("minimumSize"), "")).toEqual({ value: undefined });
    expect(readField(field("folder"), "")).toEqual({ wrong: "needs a value" });
  });

  test("says in words what is wrong", () => {
    expect(readField(field("minimumSize"), "501")).toEqual({ wrong: "must be 500 or less" });
    expect(readField(field("minimumSize"), "-1")).toEqual({ wrong: "must be 0 or more" });
    expect(readField(field("minimumSize"), "1.5")).toEqual({ wrong: "must be a whole number" });
    expect(readField(field("ratio"), "many")).toEqual({ wrong: "is not a number" });
    expect(readField(field("ratio"), "0")).toEqual({ wrong: "must be above 0" });
    expect(readField(field("step"), "7")).toEqual({ wrong: "must be a multiple of 5" });
    expect(readField(field("skip"), "a\nb\nc\nd")).toEqual({ wrong: "takes 3 lines at most" });
    expect(readField(field("env"), "A=1\nB")).toEqual({ wrong: "needs KEY=VALUE in line 2" });
    expect(readField(field("env"), "A=1\nA=2")).toEqual({ wrong: "has A twice" });
    expect(readField(field("ports"), "80\nhttp")).toEqual({ wrong: "is not a number in line 2" });
    expect(readField(field("extra"), "{")).toEqual({ wrong: "is not valid JSON" });
    expect(readField(field("extra"), "[]")).toEqual({ wrong: "must be an object: { … }" });
  });

  test("names the bounds", () => {
    expect(["minimumSize", "folder", "ratio", "skip", "step"].map((name) => boundsText(field(name)))).toEqual([
      "0 to 500",
      "",
      "above 0",
      "3 lines or less",
      "in steps of 5",
    ]);
  });

  test("names the default", () => {
    expect(
      ["folder", "minimumSize", "mode", "hidden", "skip", "ratio"].map((name) => defaultText(field(name))),
    ).toEqual([".", "10", "deep", "", "a b", ""]);
  });

  test("objects are groups of fields, and JSON only far down", () => {
    const deep = formFields({
      properties: {
        a: {
          type: "object",
          properties: {
            b: { type: "object", properties: { c: { type: "object", properties: { d: { type: "string" } } } } },
          },
        },
      },
    });
    const kinds = [deep[0], deep[0]?.fields[0], deep[0]?.fields[0]?.fields[0]].map((each) => [each?.path, each?.kind]);
    expect(kinds).toEqual([
      ["a", "group"],
      ["a/b", "group"],
      ["a/b/c", "json"],
    ]);
  });

  test("a type without schema has no fields", () => {
    expect(formFields(undefined)).toEqual([]);
  });
});
