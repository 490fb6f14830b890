import { create } from "@bufbuild/protobuf";
import {
  PushLogsResponseSchema,
  type PushLogsOpen,
  type PushLogsRequest,
  type PushLogsResponse,
} from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import { Wake } from "../wake.ts";
import type { PushStream } from "../workers/push-stream.ts";
import type { Workers } from "../workers/workers.ts";
import { firstMessage } from "./first-message.ts";

/** A worker that answers no heartbeat for so long is taken to be as far off as its hello said, milliseconds. */
const clockWithinMs = 1_000;

/** What a PushLogs call needs of the workers. */
export type PushDoor = Pick<Workers, "ingest" | "sessionOf">;

/** One PushLogs call that came the general way: pulls requests while there is room, and yields what is acknowledged. */
export async function* pushLogs(
  workers: PushDoor,
  requests: AsyncIterator<PushLogsRequest>,
  signal: AbortSignal,
): AsyncGenerator<PushLogsResponse> {
  const first = await firstMessage(requests, signal);
  const acks = new Wake();
  const room = new Wake();
  const stream = await openPush(workers, first, () => {
    acks.notify();
    room.notify();
  });
  const pull = async () => {
    for (;;) {
      while (!stream.hasRoom && !stream.over && !signal.aborted) await room.wait(signal);
      if (stream.over || signal.aborted) return;
      const next = await requests.next();
      if (next.done || signal.aborted) return;
      takeRequest(stream, next.value);
    }
  };
  pull()
    .then(
      () => stream.end(),
      (error: unknown) => stream.end(error instanceof Error ? error : new Error(String(error))),
    )
    .finally(() => acks.notify())
    .catch(() => undefined); // Neither can throw.
  try {
    for (;;) {
      const ack = stream.takeAck();
      if (ack) {
        yield create(PushLogsResponseSchema, { ...ack, nextLine: BigInt(ack.nextLine) });
        continue;
      }
      if (stream.over?.error) throw stream.over.error;
      if (stream.over || signal.aborted) return;
      await acks.wait(signal);
    }
  } finally {
    stream.end();
  }
}

/** Opens the stream that the first message of a call asks for. Rejects with Refused. */
export async function openPush(
  workers: PushDoor,
  first: PushLogsRequest | undefined,
  changed: () => void,
): Promise<PushStream> {
  if (first?.message.case !== "open") throw new Refused("invalid", "The first message of PushLogs is open.");
  const open: PushLogsOpen = first.message.value;
  const session = workers.sessionOf(open);
  // No line is taken before this: the first chunk's header has the offset of the worker's clock, too.
  if (session && !session.isClockMeasured) await session.clockMeasured(clockWithinMs);
  return workers.ingest.open(open, session, changed);
}

/** Gives a message after the first to the stream. Throws Refused. */
export function takeRequest(stream: PushStream, { message }: PushLogsRequest): void {
  if (message.case === "chunk") stream.chunk(message.value);
  else if (message.case === "gap") stream.gap(message.value);
  else throw new Refused("invalid", "PushLogs takes `open` once and first, then chunks and gaps.");
}
