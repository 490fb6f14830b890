import { format } from "node:util";
import { ConnectError, Code } from "@connectrpc/connect";
import { pino, type DestinationStream, type Logger } from "pino";
import type { LogLevel } from "./config.ts";

export type { Logger };

/** Longest text of one value in a log line; what users and clients send can be of any length. */
const maxValueLength = 500;

/** Values under these names never reach a log, should somebody log headers one day. */
const secretNames = ["authorization", "cookie", "set-cookie", "token"];

/**
 * The server's own log. JSON lines for machines; a few readable words a line for somebody at a terminal. `destination` is standard
 * error unless a test gives another one: standard output belongs to the start text.
 */
export function createLogger(options: { level: LogLevel; readable: boolean; destination?: DestinationStream }): Logger {
  const destination = options.destination ?? pino.destination({ fd: 2, sync: true });
  return pino(
    {
      level: options.level,
      base: null,
      redact: { paths: secretNames.flatMap((name) => [`["${name}"]`, `*["${name}"]`]), censor: "[secret]" },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, limit(value)])),
      },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    options.readable ? { write: (line: string) => destination.write(readableLine(line)) } : destination,
  );
}

/**
 * Sends what libraries print with `console.error` and `console.warn` to the log instead: the Connect plugin prints a stack for each
 * client that leaves in the middle of an answer, which is no error. Returns a function that puts things back.
 */
export function routeConsole(logger: Logger): () => void {
  /* eslint-disable no-console -- this is where other people's console output is taken over */
  const original = { error: console.error, warn: console.warn };
  console.error = (...args: unknown[]) => {
    const left = args.some((arg) => arg instanceof Error && isClientGone(arg));
    logger[left ? "debug" : "error"](limit(format(...args)) as string);
  };
  console.warn = (...args: unknown[]) => logger.warn(limit(format(...args)) as string);
  return () => Object.assign(console, original);
  /* eslint-enable no-console */
}

function isClientGone(error: Error): boolean {
  if (ConnectError.from(error).code === Code.Canceled) return true;
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? (error as NodeJS.ErrnoException).code;
  return code === "ECANCELED" || code === "ECONNRESET" || code === "EPIPE" || code === "ERR_STREAM_PREMATURE_CLOSE";
}

function limit(value: unknown): unknown {
  if (typeof value !== "string" || value.length <= maxValueLength) return value;
  return `${value.slice(0, maxValueLength)}… (${value.length} characters)`;
}

/** `14:03:22 WARN  message  name=value`. Control characters are escaped: a job's name must not be able to paint the terminal. */
function readableLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const at = new Date(String(time)).toLocaleTimeString("en-GB");
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${plain(JSON.stringify(value))}`);
  const stack = (err as { stack?: unknown } | undefined)?.stack;
  const parts = [at, String(level).toUpperCase().padEnd(5), plain(typeof msg === "string" ? msg : ""), ...rest];
  return `${parts.join("  ")}\n${typeof stack === "string" ? `${stack.split("\n").map(plain).join("\n")}\n` : ""}`;
}

function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
