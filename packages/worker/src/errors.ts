import { inspect } from "node:util";

/** Whether an error is what an aborted signal causes: the reason itself, an AbortError of the platform, or one caused by them. */
export function isAbort(error: unknown, reason: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if (each === reason || each.name === "AbortError") return true;
  return error === reason;
}

/** What whoever threw it says, never empty. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return typeof error === "string" ? error || "an empty error" : inspect(error);
}
