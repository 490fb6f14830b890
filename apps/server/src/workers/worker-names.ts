import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { WorkerLeaseSchema, type Hello, type JobType, type WorkerDrain, type WorkerLease } from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import type { Store, Table } from "../store/store.ts";

/** Name of the table that holds the lease of each worker's name. */
export const workersTable = "workers";
/** Names that are known; a new one beyond makes the server forget an old one that has nothing to do. */
const mostKnown = 1_000;
/** So many forgotten names are told to those who come back to a watch; who was away for longer gets the whole list. */
const mostForgotten = 1_000;

/** Who holds each worker's name, and what that process offered: kept when it goes, so that its job types are known. */
export class WorkerNames {
  readonly #table: Table;
  readonly #known: Map<string, WorkerLease>;
  /** Each type as the newest worker described it; made again when one of them has gone. */
  #types: Map<string, JobType> | undefined;
  #revision: number;
  #forgotten = 0;

  private constructor(table: Table, known: Map<string, WorkerLease>, revision: number) {
    this.#table = table;
    this.#known = known;
    this.#revision = revision;
  }

  static async open(store: Store): Promise<WorkerNames> {
    const table = store.table(workersTable);
    const { records, revision } = await table.list();
    const known = new Map<string, WorkerLease>();
    for (const { key, data } of records) if (data) known.set(key, fromBinary(WorkerLeaseSchema, data));
    await table.compact(revision);
    return new WorkerNames(table, known, revision);
  }

  /** The newest known revision of the table. */
  get revision(): number {
    return this.#revision;
  }

  /** The lease of a name; undefined if no worker of that name is known. Never change it. */
  get(workerId: string): WorkerLease | undefined {
    return this.#known.get(workerId);
  }

  /** All names and their leases, in no order. */
  all(): Iterable<readonly [string, WorkerLease]> {
    return this.#known;
  }

  /**
   * Gives the name to the process that says hello and returns the epoch, which counts takeovers. A drain stays. `now` is server clock,
   * microseconds. Another one may take it at the same moment: ask {@link holds}.
   */
  async take(hello: Hello, now: number): Promise<bigint> {
    const { workerId, incarnation } = hello;
    const known = this.#known.get(workerId);
    const epoch = known?.incarnation === incarnation ? known.epoch : (known?.epoch ?? 0n) + 1n;
    // Known before it is stored: of two that come at the same time the second counts on from the first.
    await this.#put(
      workerId,
      create(WorkerLeaseSchema, {
        incarnation,
        epoch,
        hello: { ...hello, attempts: [] },
        connectedAtUs: BigInt(now),
        ...(known?.drain ? { drain: known.drain } : {}),
      }),
    );
    return epoch;
  }

  /** Whether the name is this process's. */
  holds(workerId: string, incarnation: string): boolean {
    return this.#known.get(workerId)?.incarnation === incarnation;
  }

  /** The process that holds the name has left on purpose, at `now`, server clock in microseconds. */
  async left(workerId: string, now: number): Promise<void> {
    const known = this.#known.get(workerId);
    if (known) await this.#put(workerId, { ...known, leftAtUs: BigInt(now) });
  }

  /** Drains the name, or with undefined lets it have work again. Throws Refused if it is not known. */
  async setDrain(workerId: string, drain: WorkerDrain | undefined): Promise<void> {
    const { drain: before, ...rest } = this.check(workerId);
    if (before || drain) await this.#put(workerId, drain ? { ...rest, drain } : rest);
  }

  /** The lease of a name. Throws Refused if it is not known. */
  check(workerId: string): WorkerLease {
    const known = this.#known.get(workerId);
    if (!known) throw new Refused("not-found", `There is no worker ${workerId.slice(0, 100)}.`);
    return known;
  }

  /** The job type as the newest worker described it; undefined if none that is known ever offered it. */
  jobType(name: string): JobType | undefined {
    this.#types ??= this.#newestTypes();
    return this.#types.get(name);
  }

  /** All types that known workers offer or offered, each as the newest worker described it. */
  jobTypes(): Iterable<JobType> {
    return (this.#types ??= this.#newestTypes()).values();
  }

  /** Forgets a name. */
  async forget(workerId: string): Promise<void> {
    const known = this.#known.get(workerId);
    if (!known) return;
    this.#known.delete(workerId);
    if (known.hello?.jobTypes.some((type) => this.#types?.get(type.name) === type)) this.#types = undefined;
    await this.#table.delete(workerId);
    if (++this.#forgotten < mostForgotten) return;
    this.#forgotten = 0;
    await this.#table.compact(this.#revision);
  }

  /** The name that connected longest ago, of those that are not `inUse`, if there are more than can be kept. */
  oldest(inUse: (workerId: string) => boolean): string | undefined {
    if (this.#known.size <= mostKnown) return undefined;
    let oldest: { workerId: string; at: bigint } | undefined;
    for (const [workerId, { connectedAtUs: at }] of this.#known)
      if ((!oldest || at < oldest.at) && !inUse(workerId)) oldest = { workerId, at };
    return oldest?.workerId;
  }

  async #put(workerId: string, lease: WorkerLease): Promise<void> {
    const before = this.#known.get(workerId);
    this.#known.set(workerId, lease);
    this.#learnTypes(before?.hello, lease.hello);
    let revision;
    try {
      revision = await this.#table.put(workerId, toBinary(WorkerLeaseSchema, lease));
    } catch (error) {
      // What may not be stored is not kept: who asked for it hears that it failed.
      if (this.#known.get(workerId) === lease) {
        if (before) this.#known.set(workerId, before);
        else this.#known.delete(workerId);
        this.#types = undefined;
      }
      throw error;
    }
    if (revision > this.#revision) this.#revision = revision;
  }

  /** A process took a name: what it offers is the newest word on that. */
  #learnTypes(before: Hello | undefined, hello: Hello | undefined): void {
    if (!this.#types || hello === before) return;
    for (const type of hello?.jobTypes ?? []) this.#types.set(type.name, type);
    if (before?.jobTypes.some((type) => this.#types?.get(type.name) === type)) this.#types = undefined;
  }

  #newestTypes(): Map<string, JobType> {
    const types = new Map<string, JobType>();
    const leases = [...this.#known.values()].sort((a, b) => Number(a.connectedAtUs - b.connectedAtUs));
    for (const { hello } of leases) for (const type of hello?.jobTypes ?? []) types.set(type.name, type);
    return types;
  }
}
