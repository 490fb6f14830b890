import type { FullResult, Reporter, Suite } from "@playwright/test/reporter";
import { beginningOf, tally } from "./tally.ts";

/** A Playwright reporter that counts tests for `npm test`, with the reason of each skip. */
export default class PlaywrightTally implements Reporter {
  #suite: Suite | undefined;

  onBegin(_config: unknown, suite: Suite): void {
    this.#suite = suite;
  }

  onEnd(_result: FullResult): void {
    tally(
      (this.#suite?.allTests() ?? []).map((test) => {
        const name = test.titlePath().filter(Boolean).join(" > ");
        if (test.outcome() === "skipped") {
          return {
            name,
            outcome: "skipped",
            reason: test.annotations.find(({ type }) => type === "skip")?.description ?? "no reason given",
          };
        }
        const outcome = test.outcome();
        const errors = test.results.flatMap((result) =>
          result.errors.map(({ message, location }) =>
            beginningOf([message, location && `at ${location.file}:${location.line}`].filter(Boolean).join("\n")),
          ),
        );
        return { name, outcome: outcome === "unexpected" ? "failed" : "passed", unsteady: outcome === "flaky", errors };
      }),
    );
  }
}
