import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AuditEntrySchema,
  AuditRefusalSchema,
  AuditSignInSchema,
  type Actor,
  type AuditEntry,
  type AuditRefusal,
} from "@signalbox/protocol";
import { clip } from "../clip.ts";
import type { Clock } from "../clock.ts";
import { digestOf } from "../digest.ts";
import type { Logger } from "../logger.ts";
import {
  Conflict,
  StoreClosed,
  UnknownOutcome,
  type Journal,
  type Position,
  type TopicWriter,
} from "../store/store.ts";
import { Repeated } from "./repeated.ts";

/** The topic of what belongs to no job, and of the anchors. */
export const auditTopic = "audit";

/** Entries that wait to be stored; more are counted and left out. */
const mostWaiting = 1_000;
const tries = 5;
/** How often is looked whether counted repetitions are due, milliseconds. */
const lookEveryMs = 5_000;
const longest = { words: 300, reason: 1_000, id: 200 };

/** What happened, as an entry of the topic says it. */
export type AuditEvent = AuditEntry["event"];

/** An entry of the topic `audit` as it is stored. */
export interface StoredAuditEntry {
  readonly entry: AuditEntry;
  readonly position: Position;
  /** SHA-256 of its bytes. */
  readonly digest: Uint8Array;
}

/** What an audit log stands on. */
export interface AuditLogParts {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Writes the topic `audit`, each entry with the digest of the one before. Whoever tells it something never waits: entries are stored one
 * after the other behind a bounded queue, and repetitions within a minute are counted instead of stored.
 */
export class AuditLog {
  readonly #parts: AuditLogParts;
  readonly #waiting: { actor: Actor; event: AuditEvent; at: number }[] = [];
  readonly #listeners = new Set<(stored: StoredAuditEntry) => void>();
  readonly #repeated: Repeated;
  readonly #timer: NodeJS.Timeout;
  #writer: TopicWriter | undefined;
  #digest: Uint8Array | undefined;
  #mark = 0;
  #leftOut = 0;
  #writing: Promise<void> | undefined;

  constructor(parts: AuditLogParts) {
    this.#parts = parts;
    this.#repeated = new Repeated(({ actor }) => {
      const unnamed = create(ActorSchema, { kind: actor.kind });
      const refusal = {
        words: "Many different things",
        reason: "They were too many within a minute to be told apart.",
      };
      return {
        actor: unnamed,
        key: "other",
        store: (repeated) => this.add(unnamed, { case: "refusal", value: refusalOf({ ...refusal, repeated }) }),
      };
    });
    this.#timer = setInterval(() => this.#repeated.look(parts.clock()), lookEveryMs).unref();
  }

  /** Stores what somebody did, soon. */
  add(actor: Actor, event: AuditEvent): void {
    if (this.#waiting.length >= mostWaiting) {
      this.#leftOut++;
      return;
    }
    this.#waiting.push({ actor, event, at: this.#parts.clock() });
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  /** Stores a refusal, soon; of those that are alike within a minute the first, and then how many there were. */
  refuse(actor: Actor, refusal: MessageInitShape<typeof AuditRefusalSchema>): void {
    const value = refusalOf(refusal);
    this.#repeated.add(
      {
        actor,
        key: `${value.code} ${value.jobId} ${value.words}`,
        store: (repeated) => this.add(actor, { case: "refusal", value: refusalOf({ ...value, repeated }) }),
      },
      this.#parts.clock(),
    );
  }

  /** Stores how somebody signed in or out, or tried to, soon; repetitions of what was refused are counted. */
  signIn(actor: Actor, words: string, refused: boolean): void {
    const store = (repeated: number) =>
      this.add(actor, { case: "signIn", value: create(AuditSignInSchema, { words, refused, repeated }) });
    if (refused) this.#repeated.add({ actor, key: `sign-in ${words}`, store }, this.#parts.clock());
    else store(0);
  }

  /** Calls `listener` after each entry is durable, in order. Returns what removes it. */
  onEntry(listener: (stored: StoredAuditEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stores what was counted, and resolves when nothing waits any more. What is told after that is stored all the same. */
  async settle(): Promise<void> {
    clearInterval(this.#timer);
    this.#repeated.look(Infinity);
    await this.idle();
  }

  /** Resolves when nothing waits to be stored. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #write(): Promise<void> {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      try {
        await this.#append(next);
      } catch (error) {
        if (!(error instanceof StoreClosed))
          this.#parts.logger.error({ err: error, event: next.event.case }, "an entry of the audit could not be stored");
        continue;
      }
      if (this.#leftOut === 0 || this.#waiting.length > mostWaiting / 2) continue;
      const reason = `${this.#leftOut} entries came faster than they could be stored.`;
      this.#leftOut = 0;
      const value = refusalOf({ words: "Entries left out", reason });
      this.#waiting.push({ actor: serverActor, event: { case: "refusal", value }, at: this.#parts.clock() });
    }
  }

  async #append({ actor, event, at }: { actor: Actor; event: AuditEvent; at: number }): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const writer = (this.#writer ??= await this.#open());
      const entry = create(AuditEntrySchema, {
        ...{ atUs: BigInt(at), actor, event },
        ...(this.#digest ? { previousDigest: this.#digest } : {}),
      });
      const bytes = toBinary(AuditEntrySchema, entry);
      const digest = digestOf(bytes);
      // The mark finds entries by time, in seconds; it never falls, whatever the clock does.
      const mark = Math.max(this.#mark, Math.floor(at / 1e6));
      let position: Position;
      try {
        position = await writer.append(bytes, mark);
      } catch (error) {
        this.#writer = undefined;
        if (!(error instanceof Conflict || error instanceof UnknownOutcome) || attempt >= tries) throw error;
        this.#writer = await this.#open();
        const { opened } = this.#writer;
        // It landed all the same?
        if (!opened || Buffer.compare(this.#digest ?? new Uint8Array(), digest) !== 0) continue;
        position = opened.position;
      }
      this.#digest = digest;
      this.#mark = mark;
      for (const listener of this.#listeners) listener({ entry, position, digest });
      return;
    }
  }

  async #open(): Promise<TopicWriter> {
    const writer = await this.#parts.journal.open(auditTopic);
    this.#digest = writer.opened && digestOf(writer.opened.data);
    this.#mark = writer.opened?.mark ?? 0;
    return writer;
  }
}

/** What the server does by itself. */
export const serverActor = create(ActorSchema, { kind: ActorKind.SERVER, name: "server" });

/** A refusal whose texts, which came from outside, are of bounded length. */
function refusalOf(init: MessageInitShape<typeof AuditRefusalSchema>): AuditRefusal {
  return create(AuditRefusalSchema, {
    ...init,
    words: clip(init.words ?? "", longest.words),
    reason: clip(init.reason ?? "", longest.reason),
    jobId: clip(init.jobId ?? "", longest.id),
    requestId: clip(init.requestId ?? "", longest.id),
  });
}
