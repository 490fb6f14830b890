import { BulkState, type JobRecord, type JobType } from "@signalbox/protocol";
import type { KeyMap } from "../../ui/keys.ts";
import type { Commands } from "../commands.svelte.ts";
import { leverKeys } from "../lever-keys.ts";
import type { BulkDesk } from "./bulk-desk.svelte.ts";
import type { BulkRoom } from "./bulk-room.svelte.ts";
import type { BulkVerb } from "./bulk-verbs.ts";
import type { Selection } from "./selection.svelte.ts";

/** What the keys of the list act on, asked anew at each press. */
export interface ListKeysOn {
  rows(): readonly string[];
  cursorId(): string | undefined;
  /** Puts the cursor on a row, or nowhere. */
  moveTo(id: string | undefined, index?: number): void;
  job(id: string): JobRecord | undefined;
  readonly typeOf: (job: JobRecord) => JobType | undefined;
  readonly isLive: () => boolean;
  readonly selection: Selection;
  readonly desk: BulkDesk;
  readonly bulks: BulkRoom;
  readonly commands: Commands;
  /** Server clock, milliseconds since the Unix epoch. */
  nowMs(): number;
  open(id: string): void;
  start(): void;
  /** Goes to the field that filters. */
  find(): void;
}

/** The keys of the list of jobs. Verbs act on the selection, or else on the row under the cursor. */
export function listKeys(on: ListKeysOn): KeyMap {
  const { selection } = on;
  const cursorJob = () => {
    const id = on.cursorId();
    return id === undefined ? undefined : on.job(id);
  };
  const ofCursor = leverKeys({ job: cursorJob, typeOf: on.typeOf, isLive: on.isLive }, on.commands);
  const either = (verb: BulkVerb, key: string) => () => (selection.size > 0 ? on.desk.do(verb) : ofCursor[key]?.());
  const move = (by: number, extends_ = false) => {
    const rows = on.rows();
    if (rows.length === 0) return;
    const before = on.cursorId();
    const at = before === undefined ? -1 : rows.indexOf(before);
    const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by));
    const id = rows[to];
    if (id === undefined) return;
    if (extends_) {
      if (before !== undefined && !selection.has(before)) selection.toggle(before);
      selection.extend(rows, id);
    }
    on.moveTo(id, to);
  };
  const withCursor = (act: (id: string) => void) => () => {
    const id = on.cursorId();
    if (id !== undefined) act(id);
  };
  return {
    j: () => move(1),
    k: () => move(-1),
    J: () => move(1, true),
    K: () => move(-1, true),
    x: withCursor((id) => selection.toggle(id)),
    X: withCursor((id) => selection.extend(on.rows(), id)),
    Enter: withCursor((id) => on.open(id)),
    n: () => on.start(),
    "/": () => on.find(),
    p: either("pause", "p"),
    r: either("resume", "r"),
    c: either("cancel", "c"),
    "+": either("speed", "+"),
    "=": either("speed", "="),
    "-": either("speed", "-"),
    z: () => {
      const held = on.bulks.shown(on.nowMs()).findLast(({ state }) => state === BulkState.HELD);
      if (held && on.isLive()) on.bulks.undo(held.id);
      else ofCursor["z"]?.();
    },
    Escape: () => (selection.size > 0 ? selection.clear() : on.moveTo(undefined)),
  };
}
