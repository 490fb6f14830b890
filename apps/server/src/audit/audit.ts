import type { Clock } from "../clock.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logger } from "../logger.ts";
import type { Store } from "../store/store.ts";
import { Anchors } from "./anchors.ts";
import { AuditLog } from "./audit-log.ts";
import { AuditView } from "./audit-view.ts";
import { AuditHeadKeeper } from "./head.ts";

/** What the audit stands on. */
export interface AuditParts {
  readonly store: Pick<Store, "journal" | "table">;
  readonly jobs: Jobs;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Who did what: the log of what belongs to no job, the anchors of all topics, and the view of everything. */
export class Audit {
  readonly log: AuditLog;
  readonly anchors: Anchors;
  readonly view: AuditView;
  readonly #head: AuditHeadKeeper;

  constructor({ store, jobs, clock, logger }: AuditParts) {
    const { journal } = store;
    this.log = new AuditLog({ journal, clock, logger });
    this.#head = new AuditHeadKeeper(store, this.log, logger);
    this.anchors = new Anchors(journal, jobs, this.log, logger);
    this.view = new AuditView(journal, jobs, this.log, logger);
  }

  /** Stores what waits, and a last anchor. Nothing is told to it after that. */
  async close(): Promise<void> {
    this.view.close();
    await this.log.settle();
    await this.anchors.close();
    await this.log.idle();
    await this.#head.close();
  }
}
