import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { WorkerLeaseSchema, type Hello, type JobType, type WorkerLease } from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import type { Store, Table } from "../store/store.ts";

const workersTable = "workers";
/** Names that are known; a new one beyond makes the server forget an old one that has nothing to do. */
const mostKnown = 1_000;

/** Who holds each worker's name, and what that process offered: kept when it goes, so that its job types are known. */
export class WorkerNames {
  readonly #table: Table;
  readonly #known: Map<string, WorkerLease>;

  private constructor(table: Table, known: Map<string, WorkerLease>) {
    this.#table = table;
    this.#known = known;
  }

  static async open(store: Store): Promise<WorkerNames> {
    const table = store.table(workersTable);
    const known = new Map<string, WorkerLease>();
    for (const { key, data } of (await table.list()).records)
      if (data) known.set(key, fromBinary(WorkerLeaseSchema, data));
    return new WorkerNames(table, known);
  }

  /**
   * Gives the name to the process that says hello and returns the epoch, which counts takeovers. `now` is server clock, microseconds.
   * Throws Refused if another process said hello under the name meanwhile.
   */
  async take(hello: Hello, now: number): Promise<bigint> {
    const { workerId, incarnation } = hello;
    const known = this.#known.get(workerId);
    const epoch = known?.incarnation === incarnation ? known.epoch : (known?.epoch ?? 0n) + 1n;
    const lease = create(WorkerLeaseSchema, {
      incarnation,
      epoch,
      hello: { ...hello, attempts: [] },
      connectedAtUs: BigInt(now),
    });
    // Known before it is stored: of two that come at the same time the second counts on from the first.
    this.#known.set(workerId, lease);
    await this.#table.put(workerId, toBinary(WorkerLeaseSchema, lease));
    if (this.#known.get(workerId) !== lease)
      throw new Refused("unavailable", "Another process took the name over at this moment.");
    return epoch;
  }

  /** The job type as the newest worker described it; undefined if none ever offered it. */
  jobType(name: string): JobType | undefined {
    let newest: { type: JobType; at: bigint } | undefined;
    for (const { hello, connectedAtUs } of this.#known.values()) {
      const type = hello?.jobTypes.find((each) => each.name === name);
      if (type && (!newest || connectedAtUs > newest.at)) newest = { type, at: connectedAtUs };
    }
    return newest?.type;
  }

  /** Keeps the number of names bounded: forgets the one that connected longest ago, of those that are not `inUse`. */
  async forgetOldest(inUse: ReadonlySet<string | undefined>): Promise<void> {
    if (this.#known.size <= mostKnown) return;
    let oldest: [string, WorkerLease] | undefined;
    for (const each of this.#known) {
      const [workerId, { connectedAtUs }] = each;
      if (!inUse.has(workerId) && (!oldest || connectedAtUs < oldest[1].connectedAtUs)) oldest = each;
    }
    if (!oldest) return;
    this.#known.delete(oldest[0]);
    await this.#table.delete(oldest[0]);
  }
}
