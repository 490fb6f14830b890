import type { FastifyInstance } from "fastify";

/**
 * - `GET /healthz`: 200 while the process answers at all.
 * - `GET /readyz`: 200 `{"ready": true}`, or 503 `{"ready": false, "reason": "…"}`.
 *
 * `notReady` gives the reason, or undefined. Neither needs a login or a known `Host`: probes have none, and nothing is told.
 */
export function healthRoutes(app: FastifyInstance, notReady: () => string | undefined): void {
  app.get("/healthz", async (_request, reply) => reply.type("text/plain; charset=utf-8").send("ok\n"));
  app.get("/readyz", async (_request, reply) => {
    const reason = notReady();
    return reason === undefined ? { ready: true } : reply.code(503).send({ ready: false, reason });
  });
}
