import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
} from "../gen/health/v1/health_pb.ts";
import { Refused } from "../refused.ts";
import type { Readiness } from "../readiness.ts";

/** Services that need no token: probes have none, and they tell no more than `/readyz` does. */
export const openServices: ReadonlySet<string> = new Set([Health.typeName]);

/** Anybody may watch, so there is a bound. */
const mostWatching = 100;

/**
 * Registers `grpc.health.v1.Health`. All services of the router, and the server as a whole under the empty name, are SERVING while the
 * server is ready.
 */
export function health(router: ConnectRouter, readiness: Readiness): void {
  const watching = new Set<AbortSignal>();
  const names = () => new Set(["", ...router.handlers.map(({ service }) => service.typeName)]);
  const statusOf = (service: string) => {
    if (!names().has(service)) return ServingStatus.SERVICE_UNKNOWN;
    return readiness.notReady === undefined ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  };

  router.service(Health, {
    check({ service }) {
      const status = statusOf(service);
      if (status === ServingStatus.SERVICE_UNKNOWN)
        throw new Refused("not-found", `There is no service ${service.slice(0, 200)} here.`);
      return create(HealthCheckResponseSchema, { status });
    },

    list() {
      const statuses = Object.fromEntries([...names()].map((service) => [service, { status: statusOf(service) }]));
      return create(HealthListResponseSchema, { statuses });
    },

    async *watch({ service }, { signal }): AsyncGenerator<MessageInitShape<typeof HealthCheckResponseSchema>> {
      if (watching.size >= mostWatching)
        throw new Refused("exhausted", `${mostWatching} streams watch the health already. Ask with Check.`);
      watching.add(signal);
      // Where the client has gone while an answer waits to be sent, `finally` does not run.
      signal.addEventListener("abort", () => watching.delete(signal), { once: true });
      try {
        for (let said: ServingStatus | undefined; !signal.aborted;) {
          const status = statusOf(service);
          // A change and the change back may both come while an answer waits: the newest is what counts.
          if (status === said) {
            await readiness.change(signal);
            continue;
          }
          said = status;
          yield { status };
        }
        signal.throwIfAborted();
      } finally {
        watching.delete(signal);
      }
    },
  });
}
