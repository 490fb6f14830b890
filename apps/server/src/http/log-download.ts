import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";

/**
 * The whole log of an attempt, from its first line to its newest when asked: exactly the bytes that the job printed. With `late` its late
 * evidence instead: the lines that came after the log was sealed. Undefined if there is no such job or attempt. It is pulled as fast as the
 * client reads, and `signal` aborts when the client has gone.
 */
export type ReadLog = (
  jobId: string,
  attempt: number,
  signal: AbortSignal,
  late: boolean,
) => AsyncIterable<Uint8Array> | undefined | Promise<AsyncIterable<Uint8Array> | undefined>;

/**
 * `GET /jobs/:id/attempts/:n/log`: the log as a file; `…/log/late` its late evidence. An error in the middle breaks the transfer off, so
 * that no client takes half a log for a whole one.
 */
export function logDownloadRoute(app: FastifyInstance, readLog: ReadLog): void {
  for (const late of [false, true]) {
    app.get<{ Params: { id: string; n: string } }>(
      `/jobs/:id/attempts/:n/log${late ? "/late" : ""}`,
      // A HEAD request would read the whole log to throw it away.
      { exposeHeadRoute: false },
      async (request, reply) => {
        const { id, n } = request.params;
        const attempt = /^[1-9]\d{0,8}$/.test(n) ? Number(n) : 0;
        const gone = new AbortController();
        reply.raw.once("close", () => gone.abort());
        const isName = attempt > 0 && /^[A-Za-z0-9._:-]{1,200}$/.test(id);
        const bytes = isName ? await readLog(id, attempt, gone.signal, late) : undefined;
        if (bytes === undefined)
          return reply.code(404).type("text/plain; charset=utf-8").send("There is no such job or attempt.\n");
        return reply
          .header("content-type", "text/plain; charset=utf-8")
          .header("content-disposition", `attachment; filename="${logFileName(id, attempt, late)}"`)
          .send(Readable.from(bytes, { objectMode: false }));
      },
    );
  }
}

/** A name that every file system takes and no shell trips over. */
export function logFileName(jobId: string, attempt: number, late = false): string {
  const safe = jobId.replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 100);
  return `${safe}-${attempt}${late ? "-late" : ""}.log`;
}
