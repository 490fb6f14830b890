import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { ListAuditResponseSchema, type AuditService } from "@signalbox/protocol";
import type { Audit } from "../audit/audit.ts";
import { pageToken } from "../audit/filter.ts";
import { toAuditRow, type Row } from "../audit/row.ts";
import { verifyAudit } from "../audit/verify.ts";
import { Refused } from "../refused.ts";
import type { Store } from "../store/store.ts";

const defaultPage = 100;
const largestPage = 1_000;
/** Checks of everything at the same time: each reads all histories. */
const mostChecks = 2;

/** The service that reads who did what, and checks that nobody has changed that. */
export function auditService({ view }: Audit, store: Store): ServiceImpl<typeof AuditService> {
  let checks = 0;
  return {
    async listAudit(request, { signal }) {
      const size = request.pageSize === 0 ? defaultPage : request.pageSize;
      if (size > largestPage) throw new Refused("invalid", `page_size is ${size}, at most ${largestPage} is allowed.`);
      const rows: Row[] = [];
      for await (const run of view.select(request.filter, request.pageToken)) {
        signal.throwIfAborted();
        // One more than is asked for tells whether there is another page.
        rows.push(...run.slice(0, size + 1 - rows.length));
        if (rows.length > size) break;
      }
      const page = rows.slice(0, size);
      const last = page.at(-1);
      return create(ListAuditResponseSchema, {
        rows: page.map(toAuditRow),
        nextPageToken: rows.length > size && last ? pageToken(last) : "",
        beginsAtUs: BigInt(view.beginsAt),
      });
    },

    async *verifyAudit(_request, { signal }) {
      if (checks >= mostChecks)
        throw new Refused("exhausted", "Two checks are under way already. Try again when they are done.");
      checks++;
      const leave = () => {
        checks -= counts ? 1 : 0;
        counts = false;
      };
      let counts = true;
      // Where the client has gone while a message waits to be sent, `finally` does not run.
      signal.addEventListener("abort", leave, { once: true });
      try {
        yield* verifyAudit(store, signal);
      } finally {
        signal.removeEventListener("abort", leave);
        leave();
      }
    },
  };
}
