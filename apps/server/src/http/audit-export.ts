import { Readable } from "node:stream";
import { toJsonString } from "@bufbuild/protobuf";
import {
  AuditRowSchema,
  auditFilterNames,
  readAuditFilter,
  type AuditFilter,
  type AuditRow,
} from "@signalbox/protocol";
import type { FastifyInstance } from "fastify";
import { Refused } from "../refused.ts";

/** Rows of the audit view that fit, newest first, in runs; pulled as fast as the client reads. */
export type ReadAudit = (filter: AuditFilter, signal: AbortSignal) => AsyncIterable<readonly AuditRow[]>;

/**
 * `GET /audit.ndjson?job=…&actor=…&by=…&kind=…&refused=…&from=…&until=…&text=…`: the audit view as a file, a row a line in protobuf's JSON
 * form, newest first. 400 for a filter that makes no sense. An error in the middle breaks the transfer off.
 */
export function auditExportRoute(app: FastifyInstance, readAudit: ReadAudit): void {
  app.get("/audit.ndjson", { exposeHeadRoute: false }, async (request, reply) => {
    const query = new URL(request.url, "http://signalbox").searchParams;
    const { filter, wrong } = readAuditFilter(query);
    // A condition that is misspelt would let everything into the file.
    wrong.push(...[...query.keys()].filter((name) => !auditFilterNames.has(name)));
    if (wrong.length > 0)
      return reply.code(400).send({ error: `The filter makes no sense: ${[...new Set(wrong)].join(", ")}.` });
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort());
    const lines = linesOf(readAudit(filter, gone.signal));
    let first: IteratorResult<string>;
    try {
      // A filter that is refused is answered as such.
      first = await lines.next();
    } catch (error) {
      if (error instanceof Refused) return reply.code(400).send({ error: error.message });
      throw error;
    }
    const day = new Date().toISOString().slice(0, 10);
    return reply
      .header("content-type", "application/x-ndjson; charset=utf-8")
      .header("content-disposition", `attachment; filename="signalbox-audit-${day}.ndjson"`)
      .send(Readable.from(withFirst(first, lines), { objectMode: false }));
  });
}

async function* linesOf(runs: AsyncIterable<readonly AuditRow[]>): AsyncGenerator<string, void> {
  for await (const run of runs) yield run.map((row) => `${toJsonString(AuditRowSchema, row)}\n`).join("");
}

async function* withFirst(first: IteratorResult<string>, rest: AsyncGenerator<string, void>): AsyncGenerator<string> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}
