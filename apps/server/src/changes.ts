/**
 * Which of many keys changed last. Readers ask what changed since the version that they have seen, at their own pace: nothing is kept
 * for them.
 */
export class Changes {
  /** Keys by rising version: the newest change is last. */
  readonly #versions = new Map<string, number>();
  #version = 0;

  /** Rises with every change. */
  get version(): number {
    return this.#version;
  }

  /** The key changed. */
  touch(key: string): void {
    this.#versions.delete(key);
    this.#versions.set(key, ++this.#version);
  }

  /** The key is no more. */
  forget(key: string): void {
    this.#versions.delete(key);
  }

  /** The version of a key's last change; 0 if it never changed. */
  of(key: string): number {
    return this.#versions.get(key) ?? 0;
  }

  /** Keys that changed after `version` (0: all), the newest change first. */
  since(version: number): string[] {
    if (version >= this.#version) return [];
    const changed: string[] = [];
    for (const [key, at] of [...this.#versions].reverse()) {
      if (at <= version) break;
      changed.push(key);
    }
    return changed;
  }
}
