import { Code, ConnectError } from "@connectrpc/connect";

/** Why a call did not happen, for people, and what holds now. */
export function refusalText(error: unknown): string {
  const refusal = ConnectError.from(error);
  if (refusal.code === Code.Unavailable || refusal.code === Code.Unknown)
    return "The server cannot be reached. Nothing was changed.";
  return refusal.rawMessage;
}
