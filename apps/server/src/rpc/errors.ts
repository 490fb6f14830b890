import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "../logger.ts";
import { Refused } from "../refused.ts";
import { statusOf } from "../status.ts";
import { NotStored, StoreClosed, UnknownOutcome } from "../store/store.ts";

/**
 * Turns what the domain throws into status codes: the one place that does. A refusal keeps its message and details; what is unexpected
 * is logged with its cause and answered blandly.
 */
export function errorInterceptor(logger: Logger): Interceptor {
  return (next) => async (request) => {
    const errors = errorsOf(logger, request.method.name);
    const convert = (error: unknown) => errors(error, request.signal);
    try {
      const response = await next(request);
      // A unary answer that is there is given even if the server stops: what it reports has happened.
      return response.stream
        ? { ...response, message: converting(response.message, request.signal, convert) }
        : response;
    } catch (error) {
      throw convert(error);
    }
  };
}

/** A handler whose signal aborts just stops. Its client must not take that for the end: it hears why. */
async function* converting<T>(
  messages: AsyncIterable<T>,
  signal: AbortSignal,
  convert: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  try {
    yield* messages;
    signal.throwIfAborted();
  } catch (error) {
    throw convert(error);
  }
}

/** The same for calls that do not pass through interceptors. */
export function errorsOf(logger: Logger, method: string): (error: unknown, signal: AbortSignal) => ConnectError {
  return (error, signal) =>
    toConnectError(error, signal, (unexpected) => logger.error({ err: unexpected, method }, unexpectedWords));
}

const unexpectedWords = "unexpected error in a call";

function toConnectError(error: unknown, signal: AbortSignal, report: (error: unknown) => void): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof Refused)
    return new ConnectError(error.message, statusOf(error), undefined, [...error.details], error);
  const reason: unknown = signal.reason;
  if (signal.aborted && reason instanceof ConnectError) return reason;
  // A request that breaks off fails where it is read, before the signal tells.
  if (signal.aborted || (error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE")
    return new ConnectError("The call was ended.", Code.Canceled, undefined, undefined, error);
  if (error instanceof StoreClosed)
    return new ConnectError(
      "The server is stopping. Try again in a moment.",
      Code.Unavailable,
      undefined,
      undefined,
      error,
    );
  if (error instanceof NotStored)
    return new ConnectError(
      "Nothing was stored: the disk of the server is full, or refuses to write. Try again when there is room.",
      Code.ResourceExhausted,
      undefined,
      undefined,
      error,
    );
  if (error instanceof UnknownOutcome) {
    report(error);
    return new ConnectError(
      "The store did not confirm the write; it may or may not have happened. Try again with the same request id.",
      Code.Unavailable,
      undefined,
      undefined,
      error,
    );
  }
  report(error);
  return new ConnectError(
    "The server could not do this because of a fault of its own; its log says more.",
    Code.Internal,
    undefined,
    undefined,
    error,
  );
}
