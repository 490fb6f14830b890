import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AuditService, BulkService, JobService, LiveService, LogService, RunService } from "@signalbox/protocol";
import { Http2Sessions } from "@signalbox/worker/http2-sessions";
import type { Address } from "./address.ts";
import { couldNotConnect, explain, wasTurnedAway } from "./explain.ts";
import { CliError } from "./exit-codes.ts";

/** A call that is not answered within this has failed, milliseconds. */
const callTimeoutMs = 10_000;
const windowBytes = 4 * 1024 * 1024;
const largestMessage = 16 * 1024 * 1024;

/** The server, spoken to over one connection. */
export interface Room {
  readonly address: Address;
  readonly jobs: Client<typeof JobService>;
  readonly bulks: Client<typeof BulkService>;
  readonly logs: Client<typeof LogService>;
  readonly live: Client<typeof LiveService>;
  readonly audit: Client<typeof AuditService>;
  readonly run: Client<typeof RunService>;
  /**
   * Calls once, and again where the answer was lost on the way: for calls that have one effect however often they arrive. `what` did
   * not happen if it throws CliError.
   */
  call<T>(what: string, act: () => Promise<T>): Promise<T>;
  close(): void;
}

/** Prepares to speak to the server at an address; connects with the first call. Throws CliError without a token. */
export async function openRoom(address: Address): Promise<Room> {
  const token = await address.readToken();
  const session = new Http2Sessions(address.urls, { windowBytes });
  const transport = createGrpcTransport({
    baseUrl: address.urls[0],
    sessionManager: session,
    defaultTimeoutMs: callTimeoutMs,
    acceptCompression: [],
    readMaxBytes: largestMessage,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return {
    address,
    jobs: createClient(JobService, transport),
    bulks: createClient(BulkService, transport),
    logs: createClient(LogService, transport),
    live: createClient(LiveService, transport),
    audit: createClient(AuditService, transport),
    run: createClient(RunService, transport),
    async call(what, act) {
      try {
        try {
          return await act();
        } catch (error) {
          if (!wasLostOnTheWay(error)) throw error;
          return await act();
        }
      } catch (error) {
        throw error instanceof CliError ? error : explain(error, address, what);
      }
    },
    close: () => session.abort(),
  };
}

/** Whether it is open what became of a call, since its connection broke, or a server that stops did not begin it. Not if none could be made. */
export function wasLostOnTheWay(error: unknown): boolean {
  if (wasTurnedAway(error)) return true;
  const { code } = ConnectError.from(error);
  // A stream that was cut off is 'canceled' too; nothing here cancels calls.
  return (code === Code.Unavailable || code === Code.Canceled) && !couldNotConnect(error);
}
