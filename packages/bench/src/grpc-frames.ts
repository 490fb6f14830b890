import { constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";

// Just enough gRPC to speak by hand, cheap enough that the server is what is measured.

/** Opens a call of a service. */
export function openCall(
  session: ClientHttp2Session,
  token: string,
  method: string,
  service = "WorkerService",
): ClientHttp2Stream {
  return session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: `/signalbox.v1.${service}/${method}`,
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${token}`,
  });
}

/** A gRPC message: a flag, its length, its bytes. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

/** Calls `take` with each message that comes. */
export function onMessage<Desc extends DescMessage>(
  stream: ClientHttp2Stream,
  schema: Desc,
  take: (message: MessageShape<Desc>) => void,
): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (bytes: Buffer) => {
    rest = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
    while (rest.length >= 5) {
      const end = 5 + rest.readUInt32BE(1);
      if (rest.length < end) return;
      take(fromBinary(schema, rest.subarray(5, end)));
      rest = rest.subarray(end);
    }
  });
}
