import type { ServiceImpl } from "@connectrpc/connect";
import type { ConnectRequest, ConnectResponse, WorkerService } from "@signalbox/protocol";
import { Wake } from "../wake.ts";
import { ConnectCall, type ConnectParts } from "./connect-call.ts";
import { pushLogs } from "./push-logs.ts";

/** The service that workers call, for calls that come the general way. */
export function workerService(parts: ConnectParts): ServiceImpl<typeof WorkerService> {
  return {
    connect: (requests, context) => connectWorker(parts, requests[Symbol.asyncIterator](), context.signal),
    pushLogs: (requests, context) => pushLogs(parts.workers, requests[Symbol.asyncIterator](), context.signal),
  };
}

/** One Connect call that came the general way. */
export async function* connectWorker(
  parts: ConnectParts,
  incoming: AsyncIterator<ConnectRequest>,
  signal: AbortSignal,
): AsyncGenerator<ConnectResponse> {
  const due: ConnectResponse[] = [];
  const wake = new Wake();
  const over = Promise.withResolvers<undefined>();
  over.promise.catch(() => undefined); // Heard below.
  let isOver = false;
  const call = new ConnectCall(parts, {
    // One at a time: each is made when it is sent.
    get canSend() {
      return due.length === 0;
    },
    send(message) {
      due.push(message);
      wake.notify();
    },
    end(error) {
      isOver = true;
      if (error === undefined) over.resolve(undefined);
      else over.reject(error);
      wake.notify();
    },
  });
  // Where the worker has gone while a message waits to be sent, `finally` does not run.
  const gone = () => call.closed();
  signal.addEventListener("abort", gone, { once: true });
  if (signal.aborted) gone();
  listen(call, incoming).catch((error: unknown) => call.failed(error));
  try {
    while (!signal.aborted) {
      const message = due.shift();
      if (message) {
        yield message;
        call.pump();
      } else if (isOver) return await over.promise;
      else await wake.wait(signal);
    }
  } finally {
    signal.removeEventListener("abort", gone);
    gone();
  }
}

async function listen(call: ConnectCall, incoming: AsyncIterator<ConnectRequest>): Promise<void> {
  for (;;) {
    const next = await incoming.next();
    if (next.done) break;
    await call.hear(next.value);
  }
  call.ended();
}
