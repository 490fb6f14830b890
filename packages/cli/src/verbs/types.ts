import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { OfferedJobType } from "@signalbox/protocol";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { typeJson } from "../json.ts";
import { propertyNames, propertySchema, typesOf } from "../parameters.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";

/** Lists the job types that connected workers offer; one of them with its parameters. */
export async function types(invocation: Invocation, name: string | undefined): Promise<number> {
  const { out } = invocation;
  const room = await invocation.room();
  const { types: all } = await room.call("", () => room.jobs.listJobTypes({}));
  const offered = name === undefined ? all : all.filter(({ type }) => type?.name === name);
  if (name !== undefined && offered.length === 0)
    throw new CliError(
      exitCodes.notFound,
      `No connected worker offers the job type '${sanitise(name)}'.`,
      "See what is offered: signalbox types",
    );
  if (out.json) {
    for (const each of offered) await out.object(typeJson(each));
    return exitCodes.ok;
  }
  if (offered.length === 0) {
    out.note("No job types: no worker is connected.");
    return exitCodes.ok;
  }
  const title = (text: string) => out.paint("dim", text);
  await out.line(tableLines(typeColumns, offered, out.columns, title).join("\n"));
  const schema = name === undefined ? undefined : offered[0]?.type?.parametersSchema;
  if (name === undefined) return exitCodes.ok;
  const names = propertyNames(schema);
  await out.line(
    names.length === 0
      ? "\nIt takes no parameters."
      : `\n${tableLines(parameterColumns(schema), names, out.columns, title).join("\n")}`,
  );
  return exitCodes.ok;
}

const typeColumns: Column<OfferedJobType>[] = [
  { title: "TYPE", cell: ({ type }) => sanitise(type?.name ?? "") },
  { title: "WORKERS", cell: ({ workers }) => String(workers), align: "right" },
  { title: "FREE SLOTS", cell: ({ slots, slotsUsed }) => `${Math.max(0, slots - slotsUsed)}/${slots}`, align: "right" },
  { title: "LEVERS", cell: ({ type }) => sanitise(type?.levers.join(" ") ?? ""), shrinkTo: 6 },
  { title: "DESCRIPTION", cell: ({ type }) => sanitise(type?.description ?? ""), shrinkTo: 10 },
];

const bounds = [
  ...["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"],
  ...["minLength", "maxLength", "pattern", "minItems", "maxItems", "enum"],
];

function parameterColumns(schema: JsonObject | undefined): Column<string>[] {
  const required = Array.isArray(schema?.["required"]) ? schema["required"] : [];
  const of = (key: string, field: string): JsonValue | undefined => propertySchema(schema, key)?.[field];
  const words = (value: JsonValue | undefined) => (value === undefined ? "" : sanitise(JSON.stringify(value)));
  const text = (value: JsonValue | undefined) => (typeof value === "string" ? sanitise(value) : "");
  return [
    { title: "PARAMETER", cell: (key) => sanitise(key) + (required.includes(key) ? " *" : "") },
    { title: "TAKES", cell: (key) => sanitise(typesOf(propertySchema(schema, key)).join(" or ")) },
    { title: "DEFAULT", cell: (key) => words(of(key, "default")), shrinkTo: 8 },
    {
      title: "BOUNDS",
      cell: (key) =>
        bounds
          .filter((field) => of(key, field) !== undefined)
          .map((field) => `${field} ${words(of(key, field))}`)
          .join(", "),
      shrinkTo: 8,
    },
    { title: "MEANING", cell: (key) => text(of(key, "title")) || text(of(key, "description")), shrinkTo: 10 },
  ];
}
