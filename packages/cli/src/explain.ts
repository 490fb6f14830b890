import { Code, ConnectError } from "@connectrpc/connect";
import type { Address } from "./address.ts";
import { CliError, exitCodes } from "./exit-codes.ts";

/** Turns what a call threw into what a person is told. `what` says what did not happen (`Not paused`); empty where that is plain. */
export function explain(error: unknown, address: Address, what = ""): CliError {
  const refusal = ConnectError.from(error);
  const { url } = address;
  const say = (exitCode: number, why: string, hint = "") =>
    new CliError(exitCode, what ? `${what}: ${why}` : why, hint, { cause: error });
  if (url.startsWith("https:") && brokeBeforeTls(error))
    return say(
      exitCodes.noServer,
      `${url} does not speak TLS.`,
      `Without a proxy in front it is ${url.replaceAll("https:", "http:")}`,
    );
  switch (refusal.code) {
    case Code.Unavailable:
      return couldNotConnect(error)
        ? new CliError(
            exitCodes.noServer,
            `No Signalbox at ${url}.`,
            "Start one with: signalbox serve. Where it is elsewhere, sign in with: signalbox login URL.",
            { cause: error },
          )
        : say(exitCodes.noServer, refusal.rawMessage);
    case Code.Canceled:
      return say(exitCodes.noServer, `the connection to ${url} broke.`);
    case Code.DeadlineExceeded:
      return say(
        exitCodes.noServer,
        `no answer from ${url} in time.`,
        "Whether it happened is not known: look with signalbox jobs.",
      );
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return say(
        exitCodes.notAllowed,
        `${url} does not accept the token from ${address.tokenFrom}.`,
        "Give the right one: signalbox login URL, SIGNALBOX_TOKEN or SIGNALBOX_TOKEN_FILE.",
      );
    case Code.NotFound:
      return say(exitCodes.notFound, refusal.rawMessage);
    case Code.Unimplemented:
      return say(
        exitCodes.failed,
        `the server at ${url} does not know this call.`,
        "It is older than this command: update it.",
      );
    case Code.Unknown:
    case Code.Internal:
      if (wasTurnedAway(error))
        return say(exitCodes.noServer, `the server at ${url} is stopping.`, "Try again when it is back.");
      return hasSystemError(error)
        ? say(
            exitCodes.noServer,
            `${url} does not speak gRPC (${refusal.rawMessage}).`,
            "Give the port for workers and programs, 9090 unless it was changed.",
          )
        : say(exitCodes.failed, refusal.rawMessage);
    default:
      return say(exitCodes.failed, refusal.rawMessage);
  }
}

/** Whether no connection could be made. */
export function couldNotConnect(error: unknown): boolean {
  return systemErrors(error).some((code) =>
    /^(ECONNREFUSED|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/.test(code),
  );
}

/** Whether the server would not even begin with a call, because it stops. */
export function wasTurnedAway(error: unknown): boolean {
  return causesOf(error).some(({ message }) => message.includes("NGHTTP2_REFUSED_STREAM"));
}

/** Whether whoever answered closed the connection, or said something else, where it should have begun to speak TLS. */
function brokeBeforeTls(error: unknown): boolean {
  const words = /before secure TLS connection|wrong version number|packet length too long/;
  return causesOf(error).some(({ message }) => words.test(message));
}

function hasSystemError(error: unknown): boolean {
  return systemErrors(error).length > 0;
}

/** Codes of the system or of Node among an error and its causes. */
function systemErrors(error: unknown): string[] {
  const codes = causesOf(error).map(({ code }: NodeJS.ErrnoException) => code);
  return codes.filter((code) => typeof code === "string");
}

/** An error and its causes, the outermost first. */
function causesOf(error: unknown): Error[] {
  return error instanceof Error ? [error, ...causesOf(error.cause)] : [];
}
