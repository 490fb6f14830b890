import type { IncomingHttpHeaders } from "node:http";

/** The longest deadline that the server keeps, milliseconds: 24 h. */
export const maxTimeoutMs = 24 * 3_600_000;

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 };

/**
 * Takes a deadline beyond {@link maxTimeoutMs} out of the headers: such a call has none here, and its client keeps it anyway. A timer
 * would not reach that far, and a refusal would only hit clients that mean 'no deadline'. What is malformed stays, to be refused.
 */
export function dropLongDeadline(headers: IncomingHttpHeaders): void {
  const [, grpcDigits, unit = ""] = /^(\d{1,8})([HMS])$/.exec(String(headers["grpc-timeout"])) ?? [];
  if (Number(grpcDigits) * (unitMs[unit] ?? 0) > maxTimeoutMs) delete headers["grpc-timeout"];
  const [connectMs] = /^\d{1,10}$/.exec(String(headers["connect-timeout-ms"])) ?? [];
  if (Number(connectMs) > maxTimeoutMs) delete headers["connect-timeout-ms"];
}
