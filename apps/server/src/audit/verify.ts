import { create, fromBinary } from "@bufbuild/protobuf";
import {
  AuditEntrySchema,
  AuditFaultSchema,
  AuditVerdictSchema,
  VerifyAuditResponseSchema,
  type AuditEntry,
  type AuditFault,
  type AuditVerdict,
  type VerifyAuditResponse,
} from "@signalbox/protocol";
import { moment } from "@signalbox/protocol/format";
import { digestOf } from "../digest.ts";
import { jobTopicPrefix } from "../jobs/job.ts";
import type { Journal, Position, Store, Table, TopicInfo } from "../store/store.ts";
import { auditTopic } from "./audit-log.ts";
import { Chain, type ChainFault } from "./chain.ts";
import { auditHeadTable, readAuditHead } from "./head.ts";

/** How often is told how far it has come, milliseconds. */
const tellEveryMs = 250;
const mostFaults = 100;
/** Anchors of one topic that are compared; of more, every second one, and the newest. */
const mostAnchors = 100;

interface Anchor {
  readonly position: Position;
  readonly digest: Uint8Array;
  /** When it was written, server clock, microseconds. */
  readonly at: number;
}

/**
 * Checks the chain of `audit` and of every job's topic, and each topic against what the anchors say of it. Tells how far it has come, and
 * at last the verdict. Ends early when `signal` aborts.
 */
export async function* verifyAudit(
  store: Pick<Store, "journal" | "table">,
  signal: AbortSignal,
): AsyncGenerator<VerifyAuditResponse> {
  const verification = new Verification(store, signal);
  let toldMs = performance.now();
  for await (const verdict of verification.run()) {
    if (verdict === undefined && performance.now() - toldMs < tellEveryMs) continue;
    toldMs = performance.now();
    yield create(VerifyAuditResponseSchema, {
      topicsDone: BigInt(verification.topicsDone),
      topicsTotal: BigInt(verification.topicsTotal),
      entriesDone: BigInt(verification.entriesDone),
      ...(verdict ? { verdict } : {}),
    });
  }
}

class Verification {
  topicsDone = 0;
  topicsTotal = 0;
  entriesDone = 0;
  readonly #journal: Journal;
  readonly #heads: Table;
  readonly #signal: AbortSignal;
  readonly #anchors = new Map<string, Anchor[]>();
  readonly #missing: AuditFault[] = [];
  readonly #faults: AuditFault[] = [];
  #unchained = 0;
  #anchored = 0;
  #newestAnchorAt = 0;

  constructor(store: Pick<Store, "journal" | "table">, signal: AbortSignal) {
    this.#journal = store.journal;
    this.#heads = store.table(auditHeadTable);
    this.#signal = signal;
  }

  /** Yields after each run of entries, and the verdict at the end. */
  async *run(): AsyncGenerator<AuditVerdict | undefined> {
    const head = await readAuditHead(this.#heads);
    if (head === "changed") {
      const words = "The note of where the topic ends cannot be read: it was changed.";
      this.#faults.push(create(AuditFaultSchema, { topic: auditTopic, words }));
    } else if (head) this.#anchors.set(auditTopic, [head]);
    // Anchors first: what they tell was stored before them, so that it is there by now.
    const audit = (await this.#journal.topics(auditTopic)).find(({ topic }) => topic === auditTopic);
    const before = await this.#journal.topics(jobTopicPrefix);
    this.topicsTotal = before.length + (audit ? 1 : 0);
    if (audit) yield* this.#check(audit, "audit", (data) => this.#learn(data));
    const topics = await this.#journal.topics(jobTopicPrefix);
    this.topicsTotal = topics.length + (audit ? 1 : 0);
    for (const topic of topics) yield* this.#check(topic, "job");
    const there = new Set(topics.map(({ topic }) => topic));
    if (audit) there.add(audit.topic);
    for (const [topic, anchors] of this.#anchors) {
      const newest = anchors.at(-1);
      if (there.has(topic) || !newest) continue;
      const words = `The topic is missing. It was there at ${moment(newest.at)}, up to entry ${newest.position}.`;
      this.#missing.push(create(AuditFaultSchema, { topic, words }));
    }
    if (this.#signal.aborted) return;
    const faults = [...this.#missing, ...this.#faults];
    yield create(AuditVerdictSchema, {
      intact: faults.length === 0,
      faults: faults.slice(0, mostFaults),
      unchainedEntries: BigInt(this.#unchained),
      anchors: BigInt(this.#anchored),
      anchoredAtUs: BigInt(this.#newestAnchorAt),
    });
  }

  async *#check(
    { topic, last }: TopicInfo,
    kind: "job" | "audit",
    learn?: (data: Uint8Array) => "unreadable" | undefined,
  ): AsyncGenerator<undefined> {
    const chain = new Chain(kind);
    const anchors = this.#anchors.get(topic) ?? [];
    let fault: ChainFault | undefined;
    let next = 0;
    let from: Position = 0;
    let isWhole = false;
    while (!isWhole && !(fault && !learn) && !this.#signal.aborted) {
      const run = await this.#journal.read(topic, from);
      for (const { position, data } of run) {
        // Of a topic that goes on while it is read, what was there at first is checked.
        isWhole = position >= last;
        this.entriesDone++;
        if (!fault) {
          const digest = digestOf(data);
          fault = chain.add(position, data, digest) ?? this.#compare(anchors, next, position, digest, chain.last);
          while (!fault && (anchors[next]?.position ?? Infinity) <= position) next++;
        }
        // Behind a fault, what anchors tell still counts.
        if (learn?.(data) === "unreadable")
          fault ??= { position, words: `Entry ${position} cannot be read: it was changed.` };
        from = position;
        if (isWhole || (fault && !learn)) break;
      }
      isWhole ||= run.length === 0;
      yield undefined;
    }
    if (this.#signal.aborted) return;
    fault = fault ? await this.#placed(topic, fault) : this.#end(last, from, anchors[next]);
    if (fault && topic === auditTopic) fault = (await this.#begunAnew(anchors[0])) ?? fault;
    // What was emptied looks like an entry of a time without chains.
    if (!fault) this.#unchained += chain.unchained;
    // Of `audit` it is the note of where it ended, which is no anchor.
    if (topic !== auditTopic) this.#anchored += next;
    this.topicsDone++;
    if (fault)
      this.#faults.push(create(AuditFaultSchema, { topic, position: BigInt(fault.position), words: fault.words }));
  }

  /** Compares an entry with what an anchor says of its place. */
  #compare(
    anchors: readonly Anchor[],
    next: number,
    position: Position,
    digest: Uint8Array,
    before: Position,
  ): ChainFault | undefined {
    const anchor = anchors[next];
    if (!anchor || position < anchor.position) return undefined;
    const when = moment(anchor.at);
    if (position > anchor.position)
      return {
        position: anchor.position,
        words: `Entry ${anchor.position} is missing, after entry ${before}. It was there at ${when}.`,
      };
    if (Buffer.compare(digest, anchor.digest) === 0) return undefined;
    return {
      position,
      words: `Entry ${position} is not the one that was there at ${when}: it, or one before it, was changed.`,
    };
  }

  /** The fault of an audit that was removed, and of which a server has begun another one; undefined if it is the same. */
  async #begunAnew(noted: Anchor | undefined): Promise<ChainFault | undefined> {
    const [first] = await this.#journal.read(auditTopic, 0, { maxEntries: 1 });
    const begunAt = first ? timeOf(first.data) : undefined;
    if (!noted || begunAt === undefined || begunAt <= noted.at) return undefined;
    return {
      position: 0,
      words: `All that was there is missing: at ${moment(noted.at)} it went up to entry ${noted.position}, and what is there now begins at ${moment(begunAt)}.`,
    };
  }

  /** The fault of an entry that is not where it was: the entry that it follows is in the topic, elsewhere. Others as they are. */
  async #placed(topic: string, fault: ChainFault): Promise<ChainFault> {
    if (!fault.follows) return fault;
    const { digest, by } = fault.follows;
    for (let from: Position = 0; !this.#signal.aborted;) {
      const run = await this.#journal.read(topic, from);
      const meant = run.find(({ data }) => Buffer.compare(digestOf(data), digest) === 0);
      if (meant)
        return {
          position: by,
          words: `Entry ${by} is not in its place: it follows entry ${meant.position}, and stands behind entry ${fault.position}.`,
        };
      const newest = run.at(-1);
      if (!newest) break;
      from = newest.position;
    }
    return fault;
  }

  /** What is missing at the end of a topic that was read up to `end`. */
  #end(last: Position, end: Position, anchor: Anchor | undefined): ChainFault | undefined {
    if (anchor)
      return {
        position: anchor.position,
        words: `The end is missing: the topic ends at entry ${end}, and entry ${anchor.position} was there at ${moment(anchor.at)}.`,
      };
    if (last > end)
      return { position: last, words: `The end is missing: the topic ends at entry ${end}, not at ${last}.` };
    return undefined;
  }

  /** Takes in what an entry of the audit anchors. */
  #learn(data: Uint8Array): "unreadable" | undefined {
    let entry: AuditEntry;
    try {
      entry = fromBinary(AuditEntrySchema, data);
    } catch {
      return "unreadable";
    }
    const { event, atUs } = entry;
    if (event.case !== "anchor") return undefined;
    this.#newestAnchorAt = Number(atUs);
    for (const { topic, position, digest } of event.value.topics) {
      const anchors = this.#anchors.get(topic) ?? [];
      anchors.push({ position: Number(position), digest, at: Number(atUs) });
      this.#anchors.set(
        topic,
        anchors.length > mostAnchors ? anchors.filter((_, i) => i % 2 === 1 || i === anchors.length - 1) : anchors,
      );
    }
    return undefined;
  }
}

/** When an entry of the audit was written; undefined if it cannot be read. */
function timeOf(data: Uint8Array): number | undefined {
  try {
    return Number(fromBinary(AuditEntrySchema, data).atUs);
  } catch {
    return undefined;
  }
}
