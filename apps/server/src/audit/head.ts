import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnchoredTopicSchema, AuditAnchorSchema, AuditEntrySchema } from "@signalbox/protocol";
import { digestOf } from "../digest.ts";
import type { Logger } from "../logger.ts";
import { StoreClosed, type Journal, type Position, type Store, type Table } from "../store/store.ts";
import { auditTopic, serverActor, type AuditLog, type StoredAuditEntry } from "./audit-log.ts";

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

/** Where the topic `audit` stood when that was written down last; undefined: never; `changed`: it cannot be read. */
export async function readAuditHead(table: Table): Promise<AuditHead | "changed" | undefined> {
  const data = (await table.get(auditTopic))?.data;
  if (!data) return undefined;
  try {
    const { atUs, event } = fromBinary(AuditEntrySchema, data);
    const topic = event.case === "anchor" ? event.value.topics[0] : undefined;
    if (topic) return { position: Number(topic.position), digest: topic.digest, at: Number(atUs) };
  } catch {
    // Nobody but servers writes it.
  }
  return "changed";
}

/**
 * Writes down, outside of the topic `audit`, where it stands: the topic anchors all others, and nothing in it says where it ends itself.
 * The newest place is written, not each. Where the topic has lost its end already, the note of that end is kept for the check to find.
 */
export class AuditHeadKeeper {
  readonly #journal: Journal;
  readonly #table: Table;
  readonly #logger: Logger;
  readonly #stopListening: () => void;
  #newest: StoredAuditEntry | undefined;
  #compared = false;
  #writing: Promise<void> | undefined;

  constructor(store: Pick<Store, "journal" | "table">, log: AuditLog, logger: Logger) {
    this.#journal = store.journal;
    this.#table = store.table(auditHeadTable);
    this.#logger = logger;
    this.#stopListening = log.onEntry((stored) => {
      this.#newest = stored;
      this.#writing ??= this.#write();
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
      const { entry, position, digest } = stored;
      const topic = create(AnchoredTopicSchema, { topic: auditTopic, position: BigInt(position), digest });
      const event = { case: "anchor", value: create(AuditAnchorSchema, { topics: [topic] }) } as const;
      const data = toBinary(
        AuditEntrySchema,
        create(AuditEntrySchema, { atUs: entry.atUs, actor: serverActor, event }),
      );
      try {
        if (!(this.#compared ||= await this.#isWhole())) {
          this.#stopListening();
          this.#logger.error(
            "entries at the end of the audit are gone since the last run: 'signalbox audit verify' says which",
          );
          break;
        }
        await this.#table.put(auditTopic, data);
      } catch (error) {
        // The next entry writes it again.
        if (!(error instanceof StoreClosed)) this.#logger.error({ err: error }, "the end of the audit was not noted");
      }
    }
    this.#writing = undefined;
  }

  /** Whether the entry is there that a server noted as the last one. */
  async #isWhole(): Promise<boolean> {
    const head = await readAuditHead(this.#table);
    if (head === undefined) return true;
    if (head === "changed") return false;
    const [found] = await this.#journal.read(auditTopic, head.position - 1, { maxEntries: 1 });
    return found?.position === head.position && Buffer.compare(digestOf(found.data), head.digest) === 0;
  }
}
