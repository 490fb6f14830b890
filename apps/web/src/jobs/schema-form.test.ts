import { describe, expect, test } from "vitest";
import { boundsText, formFields, initialText, readField } from "./schema-form.ts";

const schema = {
  type: "object",
  required: ["folder"],
  properties: {
    folder: { type: "string", title: "Folder", description: "Walked with all below it.", minLength: 1, default: "." },
    minimumSize: { type: "integer", minimum: 0, maximum: 500, default: 10 },
    ratio: { type: "number", exclusiveMinimum: 0 },
    hidden: { type: "boolean", default: true },
    mode: { enum: ["fast", "deep", 3], default: "deep" },
    skip: { type: "array", items: { type: "string" }, default: ["a", "b"] },
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
      ["extra", "Extra", "json"],
    ]);
    expect([...fields.values()].map(initialText)).toEqual([".", "10", "", "true", '"deep"', "a\nb", ""]);
  });

  test("reads what was typed as the schema's type", () => {
    expect(readField(field("folder"), "/srv")).toEqual({ value: "/srv" });
    expect(readField(field("minimumSize"), " 12 ")).toEqual({ value: 12 });
    expect(readField(field("hidden"), "false")).toEqual({ value: false });
    expect(readField(field("mode"), "3")).toEqual({ value: 3 });
    expect(readField(field("skip"), "x\n\n y ")).toEqual({ value: ["x", "y"] });
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
    expect(readField(field("extra"), "{")).toEqual({ wrong: "is not valid JSON" });
  });

  test("names the bounds", () => {
    expect([boundsText(field("minimumSize")), boundsText(field("folder"))]).toEqual(["0 to 500", ""]);
  });

  test("a type without schema has no fields", () => {
    expect(formFields(undefined)).toEqual([]);
  });
});
