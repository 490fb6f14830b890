import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CursorSchema, type CursorKind } from "@signalbox/protocol";
import { Refused } from "../refused.ts";

/** Makes and reads the cursors of one store. */
export class Cursors {
  readonly #storeId: string;

  constructor(storeId: string) {
    this.#storeId = storeId;
  }

  /** The cursor after `position` of a topic or table. */
  make(kind: CursorKind, of: string, position: number): Uint8Array {
    return toBinary(
      CursorSchema,
      create(CursorSchema, { storeId: this.#storeId, kind, of, position: BigInt(position) }),
    );
  }

  /**
   * The position in a cursor; undefined if it is empty, or belongs to another store: then all is new. Throws Refused if it is not a
   * cursor, or one of something else.
   */
  read(cursor: Uint8Array, kind: CursorKind, of: string): number | undefined {
    if (cursor.length === 0) return undefined;
    let known;
    try {
      known = fromBinary(CursorSchema, cursor);
    } catch {
      throw new Refused("invalid", "The cursor is not one that this server made. Leave it empty to begin anew.");
    }
    if (known.storeId !== this.#storeId) return undefined;
    if (known.kind !== kind || known.of !== of)
      throw new Refused("invalid", "The cursor belongs to another subscription. Leave it empty to begin anew.");
    return Number(known.position);
  }
}
