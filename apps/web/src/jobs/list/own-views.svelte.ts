import { untrack } from "svelte";
import type { JobsPlace } from "../../route.ts";
import type { JobRoom } from "../job-room.svelte.ts";
import {
  ownView,
  placePath,
  readOwnViews,
  renamed,
  takenBack,
  withView,
  writeOwnViews,
  type OwnView,
} from "./own-views.ts";
import { ViewCounts } from "./view-counts.ts";

/** Where views are kept. The number is the version of their form: what a newer page keeps is neither read nor written over. */
const key = "signalbox-job-views-1";

/** What came of a change: why it did not happen, or the way to take it back. */
export type Change = { readonly fault: string } | { readonly fault?: undefined; readonly undo: () => Change };

/** What own views are counted with, asked anew whenever it changed. */
export interface OwnViewsOf {
  readonly room: JobRoom;
  /** Server clock, milliseconds, in steps of some seconds. */
  viewMs(): number;
}

/**
 * The views that people named, kept in this browser: there is one account. Each change begins with what is kept at that moment, so that
 * tabs do not take back what others did.
 */
export class OwnViews {
  readonly #of: OwnViewsOf;
  #list = $state.raw(kept());
  readonly #counter = new ViewCounts();
  #seen = -1;
  /** How many jobs each shows, by its path; undefined while the list of jobs is not complete. */
  readonly counts = $derived.by(() => this.#count());

  /** To be made while a component is set up: it follows other tabs for as long as that exists. */
  constructor(of: OwnViewsOf) {
    this.#of = of;
    $effect(() => {
      const leave = new AbortController();
      const follow = ({ key: changed }: StorageEvent) => {
        // Without a key everything was cleared.
        if (changed === key || changed === null) this.#list = kept();
      };
      window.addEventListener("storage", follow, { signal: leave.signal });
      return () => leave.abort();
    });
  }

  /** The views in their order. */
  get list(): readonly OwnView[] {
    return this.#list;
  }

  /** The view that shows exactly this place. */
  at(place: JobsPlace): OwnView | undefined {
    const path = placePath(place);
    return this.#list.find((view) => view.path === path);
  }

  /** Keeps a place under a tidy name; what had the name is replaced. */
  save(name: string, place: JobsPlace): Change {
    return this.#change((views) => withView(views, ownView(name, place)));
  }

  /** Gives a view another tidy name; a view that had it is removed. */
  rename(from: string, to: string): Change {
    return this.#change((views) => renamed(views, from, to));
  }

  /** Removes a view. */
  remove(name: string): Change {
    return this.#change((views) => views.filter((view) => view.name !== name));
  }

  #change(make: (views: readonly OwnView[]) => readonly OwnView[] | string): Change {
    const before = kept();
    const after = make(before);
    if (typeof after === "string") return { fault: after };
    try {
      localStorage.setItem(key, writeOwnViews(after));
    } catch {
      return { fault: "This browser keeps nothing for this page: its storage is full or switched off." };
    }
    this.#list = after;
    return { undo: () => this.#change((now) => takenBack(now, before, after)) };
  }

  #count(): ReadonlyMap<string, number> | undefined {
    const { room } = this.#of;
    if (!room.complete || this.#list.length === 0) return undefined;
    const { version, ids } = room.changes(this.#seen);
    this.#seen = version;
    const jobs = { changed: ids, find: (id: string) => room.listed(id), all: () => untrack(() => room.list()) };
    return this.#counter.update(this.#list, jobs, this.#of.viewMs());
  }
}

function kept(): readonly OwnView[] {
  try {
    return readOwnViews(localStorage.getItem(key));
  } catch {
    // Storage is switched off.
    return [];
  }
}
