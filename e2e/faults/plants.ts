import type { Reader } from "./verdict.ts";

/** An exact piece of a file of the repository, and what stands in its place. */
export interface Piece {
  readonly file: string;
  readonly is: string;
  readonly becomes: string;
}

/** A fault that is planted in the server. */
export interface Plant {
  /** What the server would do. */
  readonly name: string;
  /** Who must notice. */
  readonly noticedBy: Reader;
  readonly pieces: readonly Piece[];
}

const attemptLog = "apps/server/src/logs/attempt-log.ts";
const watchLog = "apps/server/src/live/watch-log.ts";

/** Faults that the oracle must find. None of this is in the product: a module loader puts them in when the server loads the files. */
export const plants: readonly Plant[] = [
  {
    // The commit comes seconds after the acknowledgement, so that a kill in between always takes acknowledged lines with it.
    name: "acknowledge before commit",
    noticedBy: "the store",
    pieces: [
      {
        file: attemptLog,
        is: `this.#pending = this.#writer.append(entry, nextLine).then(() => {
      this.#durable = { nextLine, mark };
      this.#onStored?.(firstLine, nextLine, header);
    });`,
        becomes: `this.#durable = { nextLine, mark };
    setTimeout(() => void this.#writer.append(entry, nextLine).catch(() => undefined), 5000);
    this.#pending = Promise.resolve();`,
      },
    ],
  },
  {
    // A log that is opened again begins at line 1, and the store, which would notice, looks away.
    name: "forget the high-water mark on reconnect",
    noticedBy: "the store",
    pieces: [
      { file: attemptLog, is: "this.#nextLine = writer.opened?.mark ??", becomes: "this.#nextLine =" },
      { file: "apps/server/src/store/sqlite/file-journal.ts", is: "assertMark(mark, this.#mark);", becomes: "" },
    ],
  },
  {
    // Every reader that is more than a megabyte behind loses what lies between, and is not told.
    name: "drop on a slow reader",
    noticedBy: "readers that follow",
    pieces: [
      { file: watchLog, is: "if (log.allowSkip && end.mark.blobBytes", becomes: "if (end.mark.blobBytes" },
      { file: watchLog, is: "message.notSent = create(", becomes: "void create(" },
    ],
  },
];
