import { ConnectError, type Client } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { AuditSubscriptionSchema, type AuditFilter, type AuditRow, type AuditService } from "@signalbox/protocol";
import type { Live } from "../live/live.svelte.ts";
import { rowId } from "./audit-place.ts";
import { merged, overlap, withPage } from "./audit-rows.ts";

const pageSize = 200;
/** Rows that a page keeps; with more of them it begins anew. */
const mostRows = 20_000;

let subscriptions = 0;

/**
 * The rows of one filter, newest first: the newest page when the link is live, older ones as they are asked for, and what comes or changes
 * since. While `isHeld`, rows that come wait to be shown.
 */
export class AuditRoom {
  #rows = $state.raw<readonly AuditRow[]>([]);
  #waiting = $state.raw(0);
  #loading = $state.raw(false);
  #complete = $state.raw(false);
  #fault = $state.raw<string | undefined>(undefined);
  #beginsAtUs = $state.raw(0n);
  readonly #client: Client<typeof AuditService>;
  readonly #filter: AuditFilter;
  readonly #isHeld: () => boolean;
  readonly #leave = new AbortController();
  readonly #unfollow: () => void;
  /** Of the page of older rows; empty: there are none. */
  #token = $state.raw("");
  /** What has come since the newest page was asked for: the page may be older. Undefined while none is asked for. */
  #came: AuditRow[] | undefined;
  /** Rises when the list begins anew: what was asked before that is not taken. */
  #age = 0;

  constructor(client: Client<typeof AuditService>, live: Live, filter: AuditFilter, isHeld: () => boolean) {
    this.#client = client;
    this.#filter = filter;
    this.#isHeld = isHeld;
    this.#unfollow = live.follow({
      id: `audit/${++subscriptions}`,
      kind: () => ({ case: "audit", value: create(AuditSubscriptionSchema, { filter }) }),
      apply: (message) => {
        if (message.case === "caughtUp") void this.load();
        else if (message.case === "audit") {
          this.#came?.push(...message.value.rows);
          this.#take(message.value.rows);
        } else if (message.case === "error") this.#fault = message.value.message;
      },
    });
  }

  /** The rows that are shown, newest first. */
  get rows(): readonly AuditRow[] {
    return this.#waiting > 0 ? this.#rows.slice(this.#waiting) : this.#rows;
  }

  /** How many rows have come and wait to be shown. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The first page is there. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Rows are being read. */
  get loading(): boolean {
    return this.#loading;
  }

  /** Why rows could not be read; undefined: they could. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** There are older rows. */
  get hasMore(): boolean {
    return this.#token !== "";
  }

  /** When the server's view begins, if older rows are left out; else 0n. */
  get beginsAtUs(): bigint {
    return this.#beginsAtUs;
  }

  /** Shows the rows that wait. */
  show(): void {
    this.#waiting = 0;
    if (this.#rows.length > mostRows) void this.load();
  }

  /** Reads the newest page: at first, and when the link was away. Rows that are known stay if none is missing between them. */
  async load(): Promise<void> {
    const age = ++this.#age;
    const came = (this.#came = [] as AuditRow[]);
    const page = await this.#list("", () => age === this.#age);
    if (this.#came === came) this.#came = undefined;
    if (!page) return;
    const joins = page.rows.length < pageSize || overlap(this.#rows, page.rows);
    if (this.#complete && joins && this.#rows.length <= mostRows) this.#take(page.rows);
    else {
      this.#rows = page.rows;
      this.#waiting = 0;
      this.#token = page.nextPageToken;
    }
    this.#complete = true;
    if (came.length > 0) this.#take(came);
  }

  /** Reads the next older page, if there is one and none is being read. */
  async more(): Promise<void> {
    if (this.#token === "" || this.#loading || this.#fault) return;
    const age = this.#age;
    const page = await this.#list(this.#token, () => age === this.#age);
    if (!page) return;
    this.#token = page.nextPageToken;
    this.#rows = withPage(this.#rows, page.rows);
  }

  /** Tries again what could not be read. */
  retry(): void {
    this.#fault = undefined;
    void (this.#complete ? this.more() : this.load());
  }

  close(): void {
    this.#leave.abort();
    this.#unfollow();
  }

  async #list(pageToken: string, isWanted: () => boolean) {
    this.#loading = true;
    try {
      const request = { filter: this.#filter, pageSize, pageToken };
      const page = await this.#client.listAudit(request, { signal: this.#leave.signal });
      if (!isWanted()) return undefined;
      this.#fault = undefined;
      this.#beginsAtUs = page.beginsAtUs;
      return page;
    } catch (error) {
      if (isWanted() && !this.#leave.signal.aborted) this.#fault = ConnectError.from(error).rawMessage;
      return undefined;
    } finally {
      if (isWanted()) this.#loading = false;
    }
  }

  /** Takes rows in that came or changed. */
  #take(rows: readonly AuditRow[]): void {
    const top = this.#rows[this.#waiting];
    const next = merged(this.#rows, rows, this.#token !== "");
    const held = top !== undefined && this.#isHeld();
    this.#rows = next;
    if (held) this.#waiting = next.findIndex((row) => rowId(row) === rowId(top));
    else this.show();
  }
}
