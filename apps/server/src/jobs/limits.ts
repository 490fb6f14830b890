import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  LimitSchema,
  type Actor,
  type JobRecord,
  type JobType,
  type Limit,
  type SetLimitRequest,
} from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { Refused } from "../refused.ts";
import type { Store, Table } from "../store/store.ts";

/** Name of the table that holds what operators set. */
export const limitsTable = "limits";
const mostLimits = 1_000;
const largestLimit = 1_000_000;
const typePattern = /^[a-z0-9._-]{1,60}$/;
const longest = { labelKey: 63, labelValue: 200 };

/** The job types that workers have described. */
export interface KnownTypes {
  /** The type as the newest worker describes it; undefined if no known worker offers it. */
  jobType(name: string): JobType | undefined;
  jobTypes(): Iterable<JobType>;
}

/**
 * How many jobs may run at the same time: of a type, as an operator says or else as workers declare it, and with a label, as operators
 * say. The limit of one value of a label takes the place of the one that each value of it has.
 */
export class Limits {
  readonly #table: Table;
  readonly #types: KnownTypes;
  readonly #clock: Clock;
  readonly #byType = new Map<string, Limit>();
  /** By key and then by value; empty value: each value for itself. */
  readonly #byLabel = new Map<string, Map<string, Limit>>();
  /** What workers declare, made once for each of their words. */
  readonly #declared = new WeakMap<JobType, Limit>();
  readonly #listeners = new Set<() => void>();
  #size = 0;

  private constructor(table: Table, types: KnownTypes, clock: Clock) {
    this.#table = table;
    this.#types = types;
    this.#clock = clock;
  }

  static async open(store: Store, types: KnownTypes, clock: Clock): Promise<Limits> {
    const table = store.table(limitsTable);
    const limits = new Limits(table, types, clock);
    const { records, revision } = await table.list();
    for (const { data } of records) if (data) limits.#keep(fromBinary(LimitSchema, data));
    await table.compact(revision);
    return limits;
  }

  /** Calls `listener` after each change by an operator is durable. Returns what removes it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Sets or lifts a limit; the same again changes nothing. Resolves with what it was before when that is durable; undefined: there was none.
   * Throws Refused.
   */
  async set({ limit: asked, lift }: SetLimitRequest, actor: Actor): Promise<Limit | undefined> {
    const { type, labelKey, labelValue, mostRunning } = checkLimit(asked);
    const known = this.#find(type, labelKey, labelValue);
    const before = known ?? (type === "" ? undefined : this.ofType(type));
    if (lift ? !known : known?.mostRunning === mostRunning) return before;
    if (!lift && !known && this.#size >= mostLimits)
      throw new Refused("exhausted", `There are ${mostLimits} limits already. Lift one that is not needed.`);
    const limit = create(LimitSchema, { type, labelKey, labelValue, mostRunning, actor, atUs: BigInt(this.#clock()) });
    const key = keyOf(limit);
    if (lift) await this.#table.delete(key);
    else await this.#table.put(key, toBinary(LimitSchema, limit));
    if (lift) this.#drop(limit);
    else this.#keep(limit);
    for (const listener of this.#listeners) listener();
    return before;
  }

  /** The limits that a job runs under: of its type, and of its labels by rising key. */
  of({ type, labels }: JobRecord): Limit[] {
    const limits: Limit[] = [];
    const ofType = this.ofType(type);
    if (ofType) limits.push(ofType);
    if (this.#byLabel.size === 0) return limits;
    for (const [key, value] of Object.entries(labels).sort(byKey)) {
      const values = this.#byLabel.get(key);
      const limit = values?.get(value) ?? values?.get("");
      if (limit) limits.push(limit);
    }
    return limits;
  }

  /** The limit of a type; undefined if it has none. */
  ofType(name: string): Limit | undefined {
    const set = this.#byType.get(name);
    if (set) return set;
    const type = this.#types.jobType(name);
    if (!type || type.mostRunning === 0) return undefined;
    let declared = this.#declared.get(type);
    if (!declared) {
      declared = create(LimitSchema, { type: name, mostRunning: type.mostRunning });
      this.#declared.set(type, declared);
    }
    return declared;
  }

  /** All limits: types first, then labels, by name. */
  all(): Limit[] {
    const types = new Set(this.#byType.keys());
    for (const { name, mostRunning } of this.#types.jobTypes()) if (mostRunning > 0) types.add(name);
    const labels = [...this.#byLabel]
      .sort(byKey)
      .flatMap(([, values]) => [...values].sort(byKey).map(([, limit]) => limit));
    return [...[...types].sort().flatMap((name) => this.ofType(name) ?? []), ...labels];
  }

  /** Whether a value of a label has a limit of its own. */
  hasValue(labelKey: string, labelValue: string): boolean {
    return this.#byLabel.get(labelKey)?.has(labelValue) ?? false;
  }

  #find(type: string, labelKey: string, labelValue: string): Limit | undefined {
    return type === "" ? this.#byLabel.get(labelKey)?.get(labelValue) : this.#byType.get(type);
  }

  #keep(limit: Limit): void {
    if (!this.#find(limit.type, limit.labelKey, limit.labelValue)) this.#size++;
    if (limit.type !== "") {
      this.#byType.set(limit.type, limit);
      return;
    }
    let values = this.#byLabel.get(limit.labelKey);
    if (!values) this.#byLabel.set(limit.labelKey, (values = new Map<string, Limit>()));
    values.set(limit.labelValue, limit);
  }

  #drop({ type, labelKey, labelValue }: Limit): void {
    if (!this.#find(type, labelKey, labelValue)) return;
    this.#size--;
    if (type !== "") {
      this.#byType.delete(type);
      return;
    }
    const values = this.#byLabel.get(labelKey);
    values?.delete(labelValue);
    if (values?.size === 0) this.#byLabel.delete(labelKey);
  }
}

function checkLimit(limit: Limit | undefined): Limit {
  if (!limit || (limit.type === "") === (limit.labelKey === ""))
    throw new Refused("invalid", "A limit is of a type or of a label: set one of `type` and `label_key`.");
  if (limit.type !== "" && !typePattern.test(limit.type))
    throw new Refused("invalid", `'${limit.type.slice(0, 60)}' is no job type: 1 to 60 of a-z 0-9 . _ -`);
  if (limit.type !== "" && limit.labelValue !== "")
    throw new Refused("invalid", "A limit of a type has no `label_value`.");
  if (limit.labelKey.length > longest.labelKey || limit.labelValue.length > longest.labelValue)
    throw new Refused(
      "invalid",
      `A label's key has at most ${longest.labelKey} characters, its value ${longest.labelValue}.`,
    );
  if (limit.mostRunning > largestLimit)
    throw new Refused("invalid", `most_running is ${limit.mostRunning}, at most ${largestLimit} are allowed.`);
  return limit;
}

/** A label may hold characters that a key of a table may not. */
function keyOf({ type, labelKey, labelValue }: Limit): string {
  if (type !== "") return `type/${type}`;
  return `label/${createHash("sha256")
    .update(JSON.stringify([labelKey, labelValue]))
    .digest("hex")}`;
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
