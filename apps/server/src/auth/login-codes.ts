import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** How long a code can be used. */
export const codeLifetimeMs = 15 * 60_000;
/** A code more than that and the oldest one dies. */
const maxCodes = 32;
const wrongWindowMs = 60_000;
const wrongPerWindow = 10;

/** What became of a code that somebody sent. */
export type CodeOutcome = "right" | "wrong" | "too many wrong";

/** One-time codes of login links: in memory, so a restart ends them. */
export interface LoginCodes {
  /** A new code: 128 random bits, good for one use within 15 minutes. */
  issue(): string;
  /**
   * Uses a code up. Answers 'too many wrong' to every wrong code after the tenth in a minute, whoever sends them. A right code is
   * always right: 128 bits cannot be guessed, and nobody must be able to lock the operator out by sending nonsense.
   */
  redeem(code: string): CodeOutcome;
}

/** `now` is a monotonic clock in milliseconds. */
export function createLoginCodes(now: () => number = () => performance.now()): LoginCodes {
  const codes: { digest: Buffer; expiresAt: number }[] = [];
  let windowEndsAt = -Infinity;
  let wrong = 0;

  return {
    issue() {
      const code = randomBytes(16).toString("base64url");
      codes.push({ digest: digestOf(code), expiresAt: now() + codeLifetimeMs });
      if (codes.length > maxCodes) codes.shift();
      return code;
    },

    redeem(code) {
      const time = now();
      const digest = digestOf(code);
      let found = -1;
      // Every code is compared, so that the time taken tells nothing.
      codes.forEach((candidate, index) => {
        if (timingSafeEqual(candidate.digest, digest) && candidate.expiresAt > time) found = index;
      });
      if (found >= 0) {
        codes.splice(found, 1);
        return "right";
      }
      if (time >= windowEndsAt) {
        windowEndsAt = time + wrongWindowMs;
        wrong = 0;
      }
      wrong++;
      return wrong > wrongPerWindow ? "too many wrong" : "wrong";
    },
  };
}

function digestOf(code: string): Buffer {
  return createHash("sha256").update(code).digest();
}
