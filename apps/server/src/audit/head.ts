import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnchoredTopicSchema, AuditAnchorSchema, AuditEntrySchema, type AuditEntry } from "@signalbox/protocol";
import type { Logger } from "../logger.ts";
import { StoreClosed, type Position, type Table } from "../store/store.ts";
import { auditTopic, serverActor, type AuditLog, type AppendedAuditEntry } from "./audit-log.ts";

/** The table that holds it. */
export const auditHeadTable = "audit_head";

/** Where the topic `audit` stood. */
export interface AuditHead {
  readonly position: Position;
  /** SHA-256 of the entry there. */
  readonly digest: Uint8Array;
  /** When that was stored, server clock, microseconds. */
  readonly at: number;
}

/** Where the topic `audit` stood when that was written down last; undefined: never. */
export async function readAuditHead(table: Table): Promise<AuditHead | undefined> {
  const data = (await table.get(auditTopic))?.data;
  if (!data) return undefined;
  const { atUs, event } = fromBinary(AuditEntrySchema, data);
  const topic = event.case === "anchor" ? event.value.topics[0] : undefined;
  return topic && { position: Number(topic.position), digest: topic.digest, at: Number(atUs) };
}

/**
 * Writes down, outside of the topic `audit`, where it stands: the topic anchors all others, and nothing in it says where it ends itself.
 * The newest place is written, not each. Where the topic has lost its end already, the note of that end is kept for the check to find.
 */
export class AuditHeadKeeper {
  readonly #table: Table;
  readonly #logger: Logger;
  readonly #stopListening: () => void;
  #newest: AppendedAuditEntry | undefined;
  #compared = false;
  #writing: Promise<void> | undefined;

  constructor(table: Table, log: AuditLog, logger: Logger) {
    this.#table = table;
    this.#logger = logger;
    this.#stopListening = log.onEntry((stored) => {
      this.#newest = stored;
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
    });
  }

  /** Resolves when the place of the newest entry is stored. Nothing is written after that. */
  async close(): Promise<void> {
    this.#stopListening();
    await this.#writing;
  }

  async #write(): Promise<void> {
    for (let stored = this.#newest; stored; stored = this.#newest) {
      this.#newest = undefined;
      const { entry, position, follows, digest } = stored;
      const topic = create(AnchoredTopicSchema, { topic: auditTopic, position: BigInt(position), digest });
      const event = { case: "anchor", value: create(AuditAnchorSchema, { topics: [topic] }) } as const;
      const data = toBinary(
        AuditEntrySchema,
        create(AuditEntrySchema, { atUs: entry.atUs, actor: serverActor, event }),
      );
      try {
        if (!this.#compared) {
          const before = await readAuditHead(this.#table);
          if (before && !continues(before, follows, entry)) {
            this.#stopListening();
            this.#logger.error(
              "entries at the end of the audit are gone since the last run: 'signalbox audit verify' says which",
            );
            return;
          }
          this.#compared = true;
        }
        await this.#table.put(auditTopic, data);
      } catch (error) {
        // The next entry writes it again.
        if (!(error instanceof StoreClosed)) this.#logger.error({ err: error }, "the end of the audit was not noted");
      }
    }
  }
}

/** Whether an entry that follows the one at `follows` leaves everything in its place up to `head`. */
function continues(head: AuditHead, follows: Position, { previousDigest }: AuditEntry): boolean {
  return follows > head.position || (follows === head.position && Buffer.compare(previousDigest, head.digest) === 0);
}
