/** A check that needs no running product: its name, and the command that fails if it does not hold. */
export interface Check {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  /** It takes as long as all the others together. */
  readonly isLong?: boolean;
}

/** All checks, cheapest first. */
export const checks: readonly Check[] = [
  { name: "contract is formatted", command: ["buf", "format", "--diff", "--exit-code"] },
  { name: "contract is linted", command: ["buf", "lint"] },
  {
    name: "contract breaks nobody who speaks the released one",
    command: ["buf", "breaking", "--against", "proto/released.binpb"],
  },
  {
    name: "imports go down the floors only",
    command: ["depcruise", "apps", "packages", "--config", ".dependency-cruiser.js", "--output-type", "err"],
  },
  { name: "sources are formatted", command: ["prettier", "--check", "--log-level", "warn", "."] },
  { name: "sources are linted", command: ["eslint", "--max-warnings", "0", "."], isLong: true },
  { name: "types hold", command: ["tsc", "-p", "."] },
  { name: "components hold", command: ["pnpm", "--filter", "@signalbox/web", "run", "check"] },
];
