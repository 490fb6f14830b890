import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";

// The floor of many chatty connections: a bare node:http2 server that answers each message with a few bytes, parses nothing and stores
// nothing. Speaks just enough gRPC for chatty-client.ts: it gives every worker one attempt, and acknowledges line after line.

import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { ConnectResponseSchema, PushLogsResponseSchema } from "@signalbox/protocol";

function frame<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): Buffer {
  const bytes = toBinary(schema, create(schema, message));
  const framed = Buffer.alloc(5 + bytes.length);
  framed.writeUInt32BE(bytes.length, 1);
  framed.set(bytes, 5);
  return framed;
}

const spec = frame(ConnectResponseSchema, {
  message: { case: "spec", value: { jobId: "j", attempt: 1, type: "chatty" } },
});
// All acknowledgements that are ever needed, made beforehand; none for workers that send no line.
const acks = Array.from({ length: Number(process.env["ACKS"] ?? 0) }, (_, i) =>
  frame(PushLogsResponseSchema, { nextLine: BigInt(i + 1), creditBytes: 262_144 }),
);

const server = createServer();
server.on("stream", (stream, headers) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
  stream.on("error", () => undefined); // The client ends with its process.
  if (headers[":path"]?.endsWith("/Connect")) {
    stream.resume();
    stream.write(spec);
    return;
  }
  let messages = 0;
  stream.on("data", () => stream.write(acks[messages++] ?? ""));
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`));
