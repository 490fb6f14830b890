import { subscribe } from "node:diagnostics_channel";
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { PushLogsRequestSchema, PushLogsResponseSchema, WorkerService } from "@signalbox/protocol";
import { GrpcMessages } from "./grpc-messages.ts";

/** An acknowledgement as it came over the wire. */
export interface HeardAck {
  readonly job: string;
  readonly attempt: number;
  readonly next: number;
  readonly late: boolean;
}

const path = `/${WorkerService.typeName}/${WorkerService.method.pushLogs.name}`;

/**
 * From now on calls `heard` with every acknowledgement that any PushLogs call of this process receives, before whoever made the call gets
 * it. It listens on the wire, below the SDK, so that it does not depend on how that is made.
 */
export function hearAcks(heard: (ack: HeardAck) => void): void {
  subscribe("http2.client.stream.created", (message) => {
    const { stream, headers } = message as { stream: ClientHttp2Stream; headers: OutgoingHttpHeaders };
    if (headers[":path"] === path) listen(stream, heard);
  });
}

function listen(stream: ClientHttp2Stream, heard: (ack: HeardAck) => void): void {
  const up = new GrpcMessages();
  const down = new GrpcMessages();
  let opened: { job: string; attempt: number } | undefined;
  const write = stream.write.bind(stream) as (...call: unknown[]) => boolean;
  stream.write = (...call: unknown[]) => {
    // Only what the stream begins with is looked at.
    for (const message of opened ? [] : up.take(call[0] as Uint8Array)) {
      const { message: first } = fromBinary(PushLogsRequestSchema, message);
      if (first.case === "open") opened = { job: first.value.jobId, attempt: first.value.attempt };
    }
    return write(...call);
  };
  const push = stream.push.bind(stream) as (...call: unknown[]) => boolean;
  stream.push = (...call: unknown[]) => {
    for (const message of call[0] ? down.take(call[0] as Uint8Array) : []) {
      const { nextLine, late } = fromBinary(PushLogsResponseSchema, message);
      if (!opened) throw new Error("PushLogs was answered before it was opened");
      heard({ ...opened, next: Number(nextLine), late });
    }
    return push(...call);
  };
}
