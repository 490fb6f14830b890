import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { WelcomeSchema, type ConnectRequest, type ConnectResponse, type WorkerService } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import type { InputDelivery } from "../jobs/input-delivery.ts";
import type { Inputs } from "../jobs/inputs.ts";
import { Refused } from "../refused.ts";
import { heartbeatMs, leaseMs } from "../workers/lease-clock.ts";
import { firstMessage } from "./first-message.ts";
import { pushLogs } from "./push-logs.ts";
import { down, type WorkerSession } from "../workers/worker-session.ts";
import type { Workers } from "../workers/workers.ts";

/** What a Connect stream is served with. */
export interface ConnectParts {
  readonly workers: Workers;
  readonly inputs: Inputs;
  readonly storeId: string;
  readonly clock: Clock;
}

/** The service that workers call. */
export function workerService(parts: ConnectParts): ServiceImpl<typeof WorkerService> {
  return {
    connect: (requests, context) => connectWorker(parts, requests[Symbol.asyncIterator](), context.signal),
    pushLogs: (requests, context) => pushLogs(parts.workers, requests[Symbol.asyncIterator](), context.signal),
  };
}

/**
 * One Connect call: from hello to the end of the session. One generator and one reader: a worker that is connected and does nothing costs
 * little but what these hold.
 */
export async function* connectWorker(
  { workers, inputs, storeId, clock }: ConnectParts,
  incoming: AsyncIterator<ConnectRequest>,
  signal: AbortSignal,
): AsyncGenerator<ConnectResponse> {
  const first = await firstMessage(incoming, signal);
  if (first?.message.case !== "hello") throw new Refused("invalid", "The first message of Connect is hello.");
  const session = await workers.connect(first.message.value);
  const input = inputs.deliverTo(session);
  const beat = () => session.heartbeat(clock());
  const beats = setInterval(() => session.say("heartbeat", beat), heartbeatMs);
  // Where the worker has gone while a message waits to be sent, `finally` does not run.
  const gone = () => {
    clearInterval(beats);
    workers.disconnect(session);
    input.close();
  };
  signal.addEventListener("abort", gone, { once: true });
  try {
    if (signal.aborted) return;
    yield down({
      case: "welcome",
      value: create(WelcomeSchema, {
        storeId,
        serverTimeUs: BigInt(clock()),
        epoch: session.epoch,
        heartbeatMs,
        leaseMs,
      }),
    });
    void listen(workers, session, input, incoming).catch((error: unknown) => session.end(error));
    yield beat();
    while (!session.closed.aborted) {
      const said = session.next();
      if (said) yield said;
      const piece = input.take();
      if (piece) yield down({ case: "input", value: piece });
      if (!said && !piece) await session.changed();
    }
    session.throwReason();
  } finally {
    signal.removeEventListener("abort", gone);
    gone();
  }
}

/** Takes what the worker says. When the worker ends its side, so does the session. */
async function listen(
  workers: Workers,
  session: WorkerSession,
  input: InputDelivery,
  incoming: AsyncIterator<ConnectRequest>,
): Promise<void> {
  for (;;) {
    const next = await incoming.next();
    if (next.done) {
      session.end();
      return;
    }
    workers.heard(session);
    const { message } = next.value;
    switch (message.case) {
      case "heartbeat":
        workers.heartbeat(session, message.value);
        break;
      case "report":
        await workers.report(session, message.value);
        break;
      case "vitals":
        workers.vitals(session, message.value);
        break;
      case "inputTaken":
        input.heard(message.value);
        break;
      case "leaving":
        workers.leaving(session);
        break;
      case "hello":
        throw new Refused("invalid", "Hello is said once, as the first message of Connect.");
      case undefined:
        // A message of a newer SDK that this server does not know: a sign of life all the same.
        break;
    }
  }
}
