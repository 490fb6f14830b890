/* eslint-disable svelte/prefer-svelte-reactivity -- URLs are replaced, never changed in place */
import { parseRoute, type Route } from "./route.ts";

/** Where the page is. Follows the history, and takes plain clicks on links of this site. Ended by `close`. */
export class Router {
  #url = $state.raw(new URL(location.href));
  readonly route: Route = $derived(parseRoute(this.#url));
  readonly #leave = new AbortController();

  constructor() {
    const { signal } = this.#leave;
    window.addEventListener("popstate", () => (this.#url = new URL(location.href)), { signal });
    document.addEventListener("click", (event) => this.#click(event), { signal });
  }

  get url(): URL {
    return this.#url;
  }

  /** Goes to a path of this site. */
  go(path: string): void {
    history.pushState(null, "", path);
    this.#url = new URL(location.href);
  }

  /** Sets or removes parameters of the URL, without a step in the history. One with several values stands there several times. */
  amend(parameters: Readonly<Record<string, string | readonly string[] | undefined>>): void {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(parameters)) {
      url.searchParams.delete(name);
      for (const each of typeof value === "string" ? [value] : (value ?? [])) url.searchParams.append(name, each);
    }
    history.replaceState(null, "", url);
    this.#url = url;
  }

  close(): void {
    this.#leave.abort();
  }

  #click(event: MouseEvent): void {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.origin !== location.origin || link.hasAttribute("download") || link.target) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}
