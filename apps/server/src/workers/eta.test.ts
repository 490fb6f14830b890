import { create } from "@bufbuild/protobuf";
import { AttemptVitalsSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { Eta } from "./eta.ts";

const measured = (eta: Eta, vitals: object, seconds: number) =>
  eta.measured(create(AttemptVitalsSchema, vitals), seconds * 1000);

test("the time to the end goes by bytes where only their total is known", () => {
  const eta = new Eta();
  let ms: number | undefined;
  for (let second = 0; second <= 10; second++)
    ms = measured(eta, { bytesDone: BigInt(second * 1000), bytesTotal: 20_000n, itemsDone: 3n }, second);
  expect(ms).toBe(10_000);
  for (let second = 11; second <= 30; second++) ms = measured(eta, { bytesDone: 10_000n, bytesTotal: 20_000n }, second);
  expect(ms).toBeUndefined();
  expect(measured(eta, { bytesDone: 30_000n, bytesTotal: 20_000n }, 31)).toBeUndefined();
});

test("the time to the end goes by items where both are known", () => {
  const eta = new Eta();
  let ms: number | undefined;
  for (let second = 0; second <= 10; second++)
    ms = measured(eta, { itemsDone: 5n, itemsTotal: 10n, itemsPerSecond: 1, bytesDone: 1n, bytesTotal: 9n }, second);
  expect(ms).toBe(5000);
});
