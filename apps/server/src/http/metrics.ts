import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { FastifyInstance } from "fastify";

/** Why a request was refused before any handler saw it. */
export type Refusal = "host" | "origin" | "content type" | "not signed in" | "draining";

/** The server's metrics. Other floors add theirs to `registry`; names begin with `signalbox_`, labels come from fixed sets. */
export interface Metrics {
  readonly registry: Registry;
  readonly refusals: Counter<"listener" | "reason">;
  readonly workerSessions: Gauge;
  readonly operatorConnections: Gauge;
}

/** Metrics of the process (CPU, memory, event loop lag, GC) and of the listeners. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    refusals: new Counter({
      name: "signalbox_refused_requests_total",
      help: "Requests refused before any handler saw them.",
      labelNames: ["listener", "reason"],
      registers,
    }),
    workerSessions: new Gauge({
      name: "signalbox_worker_connections",
      help: "Open HTTP/2 sessions of workers and machine clients.",
      registers,
    }),
    operatorConnections: new Gauge({
      name: "signalbox_operator_connections",
      help: "Open connections of browsers and other operator clients.",
      registers,
    }),
  };
}

/** `GET /metrics` in Prometheus text form. */
export function metricsRoute(app: FastifyInstance, { registry }: Metrics): void {
  app.get("/metrics", async (_request, reply) => {
    return reply.header("content-type", registry.contentType).send(await registry.metrics());
  });
}
