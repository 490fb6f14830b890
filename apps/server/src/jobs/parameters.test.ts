import { create } from "@bufbuild/protobuf";
import { JobTypeSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { checkParameters } from "./parameters.ts";

test.each([NaN, Infinity, -Infinity])(
  "parameters with %d are refused, however deep and whatever the schema says",
  (odd) => {
    const type = create(JobTypeSchema, {
      name: "free",
      parametersSchema: { type: "object", properties: { any: { type: "object" }, list: { type: "array" } } },
    });
    expect(() => checkParameters(type, { any: { deep: [{ odd }] } })).toThrow(/NaN or an infinity/);
    expect(() => checkParameters(type, { list: [odd] })).toThrow(/NaN or an infinity/);
    expect(checkParameters(type, { any: { deep: [{ odd: 1e308 }] } })).toEqual({ any: { deep: [{ odd: 1e308 }] } });
  },
);
