import type { JsonValue } from "@bufbuild/protobuf";

/**
 * A value as JSON; undefined if it holds NaN or an infinity. Protobuf lets these through where it stands for JSON, and one that is stored
 * would keep everything beside it from all who ask in JSON.
 */
export function jsonText(value: JsonValue): string | undefined {
  let isJson = true;
  const text = JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === "number" && !Number.isFinite(each)) isJson = false;
    return each;
  });
  return isJson ? text : undefined;
}
