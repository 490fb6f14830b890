import { Code, ConnectError } from "@connectrpc/connect";

/** Why a call did not happen, for people; of one that was not answered, that nobody here knows whether it did. */
export function refusalText(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  // The browser had no answer, or one of a proxy, of which only the HTTP status is told.
  const isUnheard = code === Code.Unknown || (code === Code.Unavailable && /^HTTP \d+$/.test(rawMessage));
  if (isUnheard) return "The server cannot be reached. If it has heard this, the page shows it when it is live again.";
  return rawMessage;
}

/** Whether a call may have happened all the same: it was not answered, or the server could not confirm it. */
export function isInDoubt(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unknown || code === Code.Unavailable;
}
