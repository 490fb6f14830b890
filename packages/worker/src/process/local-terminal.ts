import type { Readable, Writable } from "node:stream";
import type { JobCanceled } from "../job.ts";

/** A standard stream of this process. */
export type LocalReadable = Readable & {
  readonly fd?: number;
  readonly isTTY?: boolean;
  readonly setRawMode?: (raw: boolean) => unknown;
};
export type LocalWritable = Writable & {
  readonly fd?: number;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** Where a command runs as if there were no supervisor: its output is shown here too, and what is typed here is its input. */
export interface LocalTerminal {
  readonly stdin: LocalReadable;
  readonly stdout: LocalWritable;
  readonly stderr: LocalWritable;
  /**
   * People in the room may go on sending input when the local one has ended. Default: no, the end of the local input is the end of the
   * program's, so that `cat file | signalbox run -- sort` ends.
   */
  readonly keepInputOpen?: boolean;
  /** Hears of the signals that this process gets, until the function that is returned is called. */
  readonly onSignal: (listener: (signal: NodeJS.Signals) => void) => () => void;
  /** Something that the person at the terminal should know. */
  readonly notice: (message: string) => void;
  /** Somebody in the room has canceled the job. Default: nobody is told. */
  readonly onCancel?: (canceled: JobCanceled) => void;
}
