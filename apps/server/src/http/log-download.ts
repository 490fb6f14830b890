import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";

/**
 * The whole log of an attempt, from its first line to its newest when asked: exactly the bytes that the job printed. Undefined if
 * there is no such job or attempt. It is pulled as fast as the client reads, and `signal` aborts when the client has gone.
 */
export type ReadLog = (
  jobId: string,
  attempt: number,
  signal: AbortSignal,
) => AsyncIterable<Uint8Array> | undefined | Promise<AsyncIterable<Uint8Array> | undefined>;

/**
 * `GET /jobs/:id/attempts/:n/log`: the log as a file. An error in the middle breaks the transfer off, so that no client takes half
 * a log for a whole one.
 */
export function logDownloadRoute(app: FastifyInstance, readLog: ReadLog): void {
  app.get<{ Params: { id: string; n: string } }>(
    "/jobs/:id/attempts/:n/log",
    // A HEAD request would read the whole log to throw it away.
    { exposeHeadRoute: false },
    async (request, reply) => {
      const { id, n } = request.params;
      const attempt = /^[1-9]\d{0,8}$/.test(n) ? Number(n) : 0;
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort());
      const bytes =
        attempt > 0 && /^[A-Za-z0-9._:-]{1,200}$/.test(id) ? await readLog(id, attempt, gone.signal) : undefined;
      if (bytes === undefined) {
        return reply.code(404).type("text/plain; charset=utf-8").send("There is no such job or attempt.\n");
      }
      return reply
        .header("content-type", "text/plain; charset=utf-8")
        .header("content-disposition", `attachment; filename="${logFileName(id, attempt)}"`)
        .send(Readable.from(bytes, { objectMode: false }));
    },
  );
}

/** A name that every file system takes and no shell trips over. */
export function logFileName(jobId: string, attempt: number): string {
  const safe = jobId.replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 100);
  return `${safe}-${attempt}.log`;
}
