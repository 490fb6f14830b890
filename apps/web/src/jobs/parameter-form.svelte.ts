import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { canShow, readField, valueText } from "./field-values.ts";
import { object, valueAt } from "./json-values.ts";
import { allFields, formFields, type FormField } from "./schema-form.ts";

/** A form made from a job type's JSON Schema: what was typed, and what is wrong with it. */
export class ParameterForm {
  readonly fields: readonly FormField[];
  /** The values that the form began with; undefined: the schema's defaults. */
  readonly #base: JsonObject | undefined;
  /** What stands in each field, by path. */
  #texts = $state<Record<string, string>>({});
  #faults = $state<Record<string, string>>({});

  /** With `base` the fields begin with its values, and those without one are empty. */
  constructor(schema: JsonObject | undefined, base?: JsonObject) {
    this.#base = base;
    const fields = formFields(schema);
    this.fields = base ? fields.map((field) => shown(field, base)) : fields;
    for (const field of allFields(this.fields)) this.#texts[field.path] = this.#beginning(field);
  }

  text(field: FormField): string {
    return this.#texts[field.path] ?? "";
  }

  setText(field: FormField, text: string): void {
    this.#texts[field.path] = text;
    // What is being corrected is not wrong any more until it is checked again.
    if (this.#faults[field.path]) delete this.#faults[field.path];
  }

  /** What is wrong with a field, as a sentence; undefined if nothing is known to be. */
  fault(field: FormField): string | undefined {
    return this.#faults[field.path];
  }

  /** The first field that is wrong. */
  get firstFault(): FormField | undefined {
    return allFields(this.fields).find((field) => this.#faults[field.path]);
  }

  /** Whether the field says something else than at the beginning. */
  isChanged(field: FormField): boolean {
    return this.#base !== undefined && field.kind !== "group" && this.text(field) !== this.#beginning(field);
  }

  /** How many fields say something else than at the beginning. */
  get changes(): number {
    return allFields(this.fields).filter((field) => this.isChanged(field)).length;
  }

  /** What stood in the field at the beginning. */
  before(field: FormField): string {
    return this.#beginning(field);
  }

  /** Fills the fields with these values. What the form has no field for is left out. */
  fill(values: JsonObject): void {
    for (const field of allFields(this.fields)) {
      const value = valueAt(values, field.names);
      if (field.kind !== "group" && (value === undefined || canShow(field, value)))
        this.#texts[field.path] = valueText(field, value);
    }
    this.#faults = {};
  }

  /** Takes over what was typed in the fields of another form of the same schema; the other fields stay as they are here. */
  carry(typed: ParameterForm): void {
    const own = allFields(this.fields);
    for (const field of allFields(typed.fields)) {
      const here = own.find(({ path }) => path === field.path);
      if (here?.kind === field.kind && typed.isChanged(field)) this.#texts[field.path] = typed.text(field);
    }
  }

  /** The values as typed, or undefined where something is wrong, which `fault` then says. Values that have no field are kept. */
  read(): JsonObject | undefined {
    this.#faults = {};
    const values = this.#readAll(this.fields, this.#base ?? {});
    return Object.keys(this.#faults).length > 0 ? undefined : values;
  }

  #readAll(fields: readonly FormField[], base: JsonObject): JsonObject {
    const values: JsonObject = { ...base };
    for (const field of fields) {
      // What nobody touched and nobody had stays away.
      if (this.#base && field.kind !== "group" && !(field.name in base) && !this.isChanged(field)) continue;
      const value = field.kind === "group" ? this.#readGroup(field, base[field.name]) : this.#readOne(field);
      if (value === undefined) delete values[field.name];
      else values[field.name] = value;
    }
    return values;
  }

  #readGroup(field: FormField, base: JsonValue | undefined): JsonObject | undefined {
    const isEmpty = allFields(field.fields).every((each) =>
      each.kind === "switch" ? this.text(each) === "false" : this.text(each).trim() === "",
    );
    // A group that nobody has touched, of a job that has none, stays away.
    if (isEmpty && !field.required && base === undefined) return undefined;
    return this.#readAll(field.fields, object(base));
  }

  #readOne(field: FormField): JsonValue | undefined {
    const read = readField(field, this.text(field));
    if ("value" in read) return read.value;
    this.#faults[field.path] = `${field.label} ${read.wrong}`;
    return undefined;
  }

  #beginning(field: FormField): string {
    return this.#base ? valueText(field, valueAt(this.#base, field.names)) : valueText(field, field.initial);
  }
}

/** The field as it can show what `base` has there: with its own control, or else as JSON. */
function shown(field: FormField, base: JsonObject): FormField {
  const value = valueAt(base, field.names);
  if (value !== undefined && !canShow(field, value)) return { ...field, kind: "json", fields: [] };
  return field.kind === "group" ? { ...field, fields: field.fields.map((each) => shown(each, base)) } : field;
}
