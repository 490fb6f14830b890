import { valueText } from "./field-values.ts";
import { list } from "./json-values.ts";
import type { FormField } from "./schema-form.ts";

// What stands below a field: its bounds and its default in words.

/** A field's bounds in words: `1 to 500`; empty if it has none that a person could meet. */
export function boundsText({ kind, bounds }: FormField): string {
  const { minimum, above, below, multipleOf, minItems, maxItems } = bounds;
  if (kind === "list") return range(minItems, maxItems, " lines");
  if (kind !== "number" && kind !== "integer") return "";
  const maximum =
    bounds.maximum !== undefined && bounds.maximum >= Number.MAX_SAFE_INTEGER ? undefined : bounds.maximum;
  const parts = [
    range(minimum, maximum, ""),
    above === undefined ? "" : `above ${above}`,
    below === undefined ? "" : `below ${below}`,
    multipleOf === undefined || multipleOf === 1 ? "" : `in steps of ${multipleOf}`,
  ];
  return parts.filter(Boolean).join(", ");
}

/** A field's default in words; empty if it has none that says anything. */
export function defaultText(field: FormField): string {
  const { initial, kind } = field;
  if (initial === undefined || initial === null || initial === "" || kind === "switch" || kind === "group") return "";
  if (kind === "choice") return field.choices.find((each) => each.value === initial)?.label ?? "";
  const text = kind === "list" ? list(initial).map(String).join(" ") : valueText({ ...field, kind: "text" }, initial);
  return text.length > 80 || text === "" ? "" : text;
}

function range(least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
  if (least !== undefined) return `${least}${unit} or more`;
  return most === undefined ? "" : `${most}${unit} or less`;
}
