import { extended, idsOf, toggled, type Ids } from "./id-sets.ts";

/** Which jobs are chosen, by id. A range goes from the row that was chosen last. */
export class Selection {
  #ids = $state.raw<Ids>(idsOf([]));
  #anchor: string | undefined;

  get ids(): Ids {
    return this.#ids;
  }

  get size(): number {
    return this.#ids.size;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Chooses a job, or leaves it out again. */
  toggle(id: string): void {
    this.#ids = toggled(this.#ids, id);
    this.#anchor = id;
  }

  /** Chooses all rows from the one that was chosen last up to `id`, and these two. */
  extend(rows: readonly string[], id: string): void {
    this.#ids = extended(this.#ids, rows, this.#anchor, id);
    this.#anchor ??= id;
  }

  /** Chooses these and no others. */
  set(ids: Iterable<string>): void {
    this.#ids = idsOf(ids);
    this.#anchor = undefined;
  }

  clear(): void {
    this.set([]);
  }
}
