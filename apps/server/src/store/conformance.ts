import { describe } from "vitest";
import { describeAppends } from "./conformance/appends.ts";
import { describeLifecycle } from "./conformance/lifecycle.ts";
import { describeProcesses } from "./conformance/processes.ts";
import { describeReads } from "./conformance/reads.ts";
import type { StoreUnderTest } from "./conformance/store-under-test.ts";
import { describeTables } from "./conformance/tables.ts";
import { describeTails } from "./conformance/tails.ts";

export type { StoreUnderTest } from "./conformance/store-under-test.ts";

/**
 * The promises of `store.ts` as tests, for any engine. Call it in a test file of the engine; what an engine cannot offer is skipped
 * and says so.
 */
export function describeStore(name: string, engine: StoreUnderTest): void {
  describe(`${name} keeps the promises of a store`, () => {
    describeAppends(engine);
    describeReads(engine);
    describeTails(engine);
    describeTables(engine);
    describeLifecycle(engine);
    describeProcesses(engine);
  });
}
