/** What the process ends with. Scripts may rely on these numbers; `--help` and docs/cli.md name them. */
export const exitCodes = {
  ok: 0,
  /** The command was refused, or failed. */
  failed: 1,
  /** The command line cannot be understood. */
  usage: 2,
  /** No such job, worker or attempt, or more than one fits. */
  notFound: 3,
  /** No server at the address, or the link to it broke. */
  noServer: 4,
  /** The token is missing, wrong or not enough. */
  notAllowed: 5,
  /** Not decided in time: what was asked stands. */
  pending: 6,
  /** Ctrl+C. */
  interrupted: 130,
  /** Nobody reads the output any more. */
  outputClosed: 141,
  /** SIGTERM. */
  terminated: 143,
} as const;

/** What a person is told when something did not happen, and the code the process ends with. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: number;
  /** What to do about it, or what is true now; may be empty. Lines. */
  readonly hint: string;

  constructor(exitCode: number, message: string, hint = "", options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** The command line cannot be understood. */
export function usageError(message: string, hint = "Try --help."): CliError {
  return new CliError(exitCodes.usage, message, hint);
}
