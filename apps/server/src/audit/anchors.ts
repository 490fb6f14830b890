import { create, fromBinary } from "@bufbuild/protobuf";
import { AnchoredTopicSchema, AuditAnchorSchema, AuditEntrySchema, type AnchoredTopic } from "@signalbox/protocol";
import { digestOf } from "../digest.ts";
import { jobTopic, jobTopicPrefix } from "../jobs/job.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logger } from "../logger.ts";
import type { Journal, Position } from "../store/store.ts";
import { auditTopic, serverActor, type AuditLog } from "./audit-log.ts";

/** How often is written down where the topics stand, if any has changed. */
const everyMs = 60_000;
/** Topics in one anchor; more of them are more anchors. */
const mostTopics = 10_000;

/**
 * Writes down, every minute and at the end, where the topics of jobs stand: position and digest of the newest entry of each that has
 * changed since. What an anchor tells cannot be cut off or replaced unseen.
 */
export class Anchors {
  readonly #journal: Journal;
  readonly #jobs: Jobs;
  readonly #log: AuditLog;
  readonly #logger: Logger;
  /** Jobs that have changed since the anchor before. */
  readonly #changed = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  readonly #stopListening: () => void;
  readonly #ended = new AbortController();
  /** What a server that was killed had not anchored is known. */
  #recovered = false;
  #anchoring: Promise<void> | undefined;

  constructor(journal: Journal, jobs: Jobs, log: AuditLog, logger: Logger) {
    this.#journal = journal;
    this.#jobs = jobs;
    this.#log = log;
    this.#logger = logger;
    this.#stopListening = jobs.onEntry((job) => this.#changed.add(job.id));
    this.#timer = setInterval(() => void this.anchor(), everyMs).unref();
  }

  /** Writes down now where the topics stand that have changed. Resolves when that waits to be stored. Never rejects. */
  anchor(): Promise<void> {
    this.#anchoring ??= this.#anchor()
      .catch((error: unknown) => {
        if (!this.#ended.signal.aborted) this.#logger.error({ err: error }, "the topics could not be anchored");
      })
      .finally(() => (this.#anchoring = undefined));
    return this.#anchoring;
  }

  /** Writes a last anchor and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopListening();
    this.#ended.abort();
    await this.#anchoring;
    await this.anchor();
  }

  async #anchor(): Promise<void> {
    if (!this.#recovered && !this.#ended.signal.aborted) await this.#recover();
    const topics: AnchoredTopic[] = [];
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const id of changed) {
      const topic = await this.#stand(id);
      if (topic) topics.push(topic);
    }
    for (let at = 0; at < topics.length; at += mostTopics) {
      const value = create(AuditAnchorSchema, {
        topics: topics.slice(at, at + mostTopics),
        topicsTotal: BigInt(this.#jobs.size),
      });
      this.#log.add(serverActor, { case: "anchor", value });
    }
  }

  /** Where the job's topic stands. */
  async #stand(id: string): Promise<AnchoredTopic | undefined> {
    const job = this.#jobs.find(id);
    const topic = jobTopic(id);
    if (job?.digest)
      return create(AnchoredTopicSchema, { topic, position: job.record.entryPosition, digest: job.digest });
    const last = await this.#journal.last(topic);
    return last && create(AnchoredTopicSchema, { topic, position: BigInt(last.position), digest: digestOf(last.data) });
  }

  /** Finds the topics that have gone on since they were anchored last: a server that is killed writes no last anchor. */
  async #recover(): Promise<void> {
    const anchored = new Map<string, Position>();
    let from: Position = 0;
    while (!this.#ended.signal.aborted) {
      const run = await this.#journal.read(auditTopic, from);
      const newest = run.at(-1);
      if (!newest) break;
      for (const { data } of run) {
        const { event } = fromBinary(AuditEntrySchema, data);
        if (event.case !== "anchor") continue;
        for (const { topic, position } of event.value.topics) anchored.set(topic, Number(position));
      }
      from = newest.position;
    }
    if (this.#ended.signal.aborted) return;
    for (const { topic, last } of await this.#journal.topics(jobTopicPrefix))
      if (anchored.get(topic) !== last) this.#changed.add(topic.slice(jobTopicPrefix.length));
    this.#recovered = true;
  }
}
