import type { Position } from "../store.ts";

/** An append in a {@link Batch}. */
export interface Append {
  readonly topic: string;
  /** Who appends. Appends of one writer in one batch follow each other. */
  readonly writer: number;
  /** The topic's last position as the writer knew it when the batch was made. */
  readonly after: Position;
  readonly mark: number;
  readonly sealed: boolean;
  readonly bytes: number;
}

/** A change that is no append. `bytes` is the length of the record's data. */
export type Change =
  | {
      readonly kind: "put";
      readonly table: string;
      readonly key: string;
      readonly bytes: number;
      readonly ifRevision: number | undefined;
    }
  | {
      readonly kind: "delete";
      readonly table: string;
      readonly key: string;
      readonly ifRevision: number | undefined;
    }
  | { readonly kind: "compact"; readonly table: string; readonly revision: number }
  | { readonly kind: "trim"; readonly topic: string; readonly before: Position };

/** What one commit stores, as it travels to the writer thread. Numbers stand in columns because objects cost more to clone. */
export interface Batch {
  /** Every topic of the appends, once. */
  readonly topics: readonly string[];
  /** {@link appendColumns} numbers for each append; see {@link packAppends}. */
  readonly appends: Float64Array<ArrayBuffer>;
  readonly changes: readonly Change[];
  /** The data of the appends and then of the puts, one after another. Travels there and comes back. */
  readonly data: ArrayBuffer;
}

/** A condition of one append or change was not met. */
export const outcomes = { conflict: -1, fenced: -2 } as const;

/** What became of a {@link Batch}. */
export interface BatchOutcome {
  readonly data: ArrayBuffer;
  /** Why nothing was stored; then the arrays are empty. */
  readonly failed: string | undefined;
  /** It failed because the disk has no room or refuses to write, and may be tried again. */
  readonly noRoom: boolean;
  /** The reason for that is that no space is left. */
  readonly isFull: boolean;
  /** How many bytes the reserve of this file lacks. */
  readonly reserveLacks: number;
  /** The write-ahead log has grown, and somebody else should move it into the database. */
  readonly toMove: boolean;
  /** The position of each append, or one of {@link outcomes}. */
  readonly appends: Float64Array<ArrayBuffer>;
  /** For each change: a put or delete gives the revision or a conflict, a trim 1 if there is more to remove; else 0. */
  readonly changes: readonly number[];
  /** How long the transaction took. */
  readonly ms: number;
}

/** Numbers of one append in {@link Batch.appends}. */
export const appendColumns = 6;

/** Writes appends into columns: topic (index into `topics`), writer, after, mark, sealed, bytes. */
export function packAppends(appends: readonly Append[]): Pick<Batch, "topics" | "appends"> {
  const topics = new Map<string, number>();
  const columns = new Float64Array(appends.length * appendColumns);
  let at = 0;
  for (const append of appends) {
    let topic = topics.get(append.topic);
    if (topic === undefined) {
      topic = topics.size;
      topics.set(append.topic, topic);
    }
    columns[at++] = topic;
    columns[at++] = append.writer;
    columns[at++] = append.after;
    columns[at++] = append.mark;
    columns[at++] = append.sealed ? 1 : 0;
    columns[at++] = append.bytes;
  }
  return { topics: [...topics.keys()], appends: columns };
}
