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
  /** What was cut, closed or dropped because a bound was met. */
  readonly cuts: Counter<"listener" | "what">;
  readonly workerStreams: Gauge;
  readonly workerHeldBytes: Gauge;
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
    cuts: new Counter({
      name: "signalbox_cuts_total",
      help: "Connections and streams that were cut, closed or dropped because a limit was met.",
      labelNames: ["listener", "what"],
      registers,
    }),
    workerStreams: new Gauge({
      name: "signalbox_worker_streams",
      help: "Open HTTP/2 streams of workers and machine clients.",
      registers,
    }),
    workerHeldBytes: new Gauge({
      name: "signalbox_worker_held_bytes",
      help: "Bytes of HTTP/2 streams that were received and not read, or written and not sent.",
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
