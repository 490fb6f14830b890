// What options can be, here so that the tree of verbs needs nothing of the contract.

/** Levels by name, lowest first. */
export const levelChoices = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

/** Kinds of actors. */
export const actorChoices = ["operator", "machine", "worker", "server"] as const;

/** Kinds of what somebody did. */
export const auditChoices = [
  "start",
  "command",
  "withdraw",
  "give-up",
  "retry",
  "sign-in",
  "refusal",
  "drain",
  "limit",
  "bulk",
  "server",
  "report",
] as const;

/** States that jobs can be chosen by. `active` and `ended` stand for several. */
export const stateWords = [
  "active",
  "ended",
  "waiting",
  "running",
  "paused",
  "succeeded",
  "failed",
  "canceled",
  "lost",
] as const;
export type StateChoice = (typeof stateWords)[number];
