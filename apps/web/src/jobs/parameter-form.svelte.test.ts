import { expect, test } from "vitest";
import { ParameterForm } from "./parameter-form.svelte.ts";
import type { FormField } from "./schema-form.ts";

const schema = {
  type: "object",
  required: ["command"],
  properties: {
    command: { type: "array", items: { type: "string" }, minItems: 1 },
    env: { type: "object", additionalProperties: { type: "string" } },
    tty: { type: "boolean", default: false },
    retry: { type: "object", properties: { times: { type: "integer", minimum: 0, maximum: 9 } } },
  },
};

function field(form: ParameterForm, path: string, fields: readonly FormField[] = form.fields): FormField {
  const found = fields.find((each) => path === each.path || path.startsWith(`${each.path}/`));
  if (!found) throw new Error(`no field ${path}`);
  return found.path === path ? found : field(form, path, found.fields);
}

test("what is typed is read, and groups that nobody touched stay away", () => {
  const form = new ParameterForm(schema);
  form.setText(field(form, "command"), "sh\n-c\necho 'a b'");
  expect(form.read()).toEqual({ command: ["sh", "-c", "echo 'a b'"], tty: false });
  form.setText(field(form, "retry/times"), "3");
  expect(form.read()).toMatchObject({ retry: { times: 3 } });
});

test("what is wrong is said at its field, until it is typed again", () => {
  const form = new ParameterForm(schema);
  form.setText(field(form, "retry/times"), "10");
  expect(form.read()).toBeUndefined();
  expect(form.fault(field(form, "command"))).toBe("Command needs a value");
  expect(form.fault(field(form, "retry/times"))).toBe("Times must be 9 or less");
  expect(form.firstFault?.path).toBe("command");
  form.setText(field(form, "retry/times"), "9");
  expect(form.fault(field(form, "retry/times"))).toBeUndefined();
});

test("changes to values that are there are marked, and nothing else of them is lost", () => {
  const values = { command: ["ls"], env: { A: "1" }, unknown: { x: [1] } };
  const form = new ParameterForm(schema, values);
  expect([form.changes, form.read()]).toEqual([0, values]);
  form.setText(field(form, "env"), "A=2");
  expect([form.changes, form.isChanged(field(form, "env")), form.isChanged(field(form, "command"))]).toEqual([
    1,
    true,
    false,
  ]);
  expect(form.before(field(form, "env"))).toBe("A=1");
  expect(form.read()).toEqual({ ...values, env: { A: "2" } });
});

test("a value that its control cannot show is edited as JSON", () => {
  const values = { command: ["printf", "a\nb", ""], retry: { times: 1, other: true } };
  const form = new ParameterForm(schema, values);
  expect([field(form, "command").kind, field(form, "retry").kind]).toEqual(["json", "json"]);
  expect(form.read()).toEqual(values);
});
