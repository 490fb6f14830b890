import type { Reporter, TestModule } from "vitest/node";
import { beginningOf, tally } from "./tally.ts";

/** A Vitest reporter that counts tests for `npm test`, with the reason of each skip. */
export default class VitestTally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules) {
      const errors = module.errors();
      if (errors.length > 0)
        tally([
          { name: module.moduleId, outcome: "failed", errors: errors.map(({ message }) => beginningOf(message)) },
        ]);
      tally(
        [...module.children.allTests()].map((test) => {
          const result = test.result();
          const name = test.fullName;
          if (result.state === "skipped") return { name, outcome: "skipped", reason: result.note ?? "no reason given" };
          const unsteady = test.diagnostic()?.flaky ?? false;
          const errors = (result.errors ?? []).map(({ message, diff, stacks }) => {
            const [at] = stacks ?? [];
            return beginningOf([message, diff, at && `at ${at.file}:${at.line}`].filter(Boolean).join("\n"));
          });
          return { name, outcome: result.state === "passed" ? "passed" : "failed", unsteady, errors };
        }),
      );
    }
  }
}
