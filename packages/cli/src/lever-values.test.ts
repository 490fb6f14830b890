import { expect, test } from "vitest";
import { CliError } from "./exit-codes.ts";
import { speedValue } from "./lever-values.ts";

test.each(["0", "0.000009", "1000000001", "fast"])("a speed of %s is refused with both bounds", (text) => {
  const refused = () => speedValue(text);
  expect(refused).toThrow(CliError);
  expect(refused).toThrow(
    expect.objectContaining({
      hint: expect.stringContaining("from 0.00001 (about one a day) to 1000000000") as unknown,
    }),
  );
});
