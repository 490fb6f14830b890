import { StoreClosed } from "../store/store.ts";

/** Work that no caller waits for, but whoever closes the store. */
export class Background {
  readonly #underWay = new Set<Promise<unknown>>();

  /** Takes work that is under way. `failed` hears its error, unless the store was closed meanwhile. */
  track(work: Promise<unknown>, failed: (error: unknown) => void): void {
    const tracked = work
      .catch((error: unknown) => {
        if (!(error instanceof StoreClosed)) failed(error);
      })
      .finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  /** Resolves when nothing is under way. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }
}
