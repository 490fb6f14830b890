import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  HelloSchema,
  WorkerHeartbeatSchema,
  type ConnectRequest,
} from "@signalbox/protocol";
import { frame, onMessage, openCall } from "./grpc-frames.ts";

// A process of WORKERS workers that are connected and do nothing but answer heartbeats, each on a connection of its own.

const url = process.env["SIGNALBOX_URL"] ?? "";
const token = readFileSync(process.env["SIGNALBOX_TOKEN_FILE"] ?? "", "utf8").trim();

/** Resolves when the server has said something. */
function connectOne(index: number): Promise<void> {
  const session = connect(url);
  const stream = openCall(session, token, "Connect");
  stream.on("close", () => {
    throw new Error(`worker ${index} was cut`);
  });
  const say = (message: ConnectRequest["message"]) =>
    stream.write(frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { message }))));
  say({
    case: "hello",
    value: create(HelloSchema, {
      workerId: `idle-${process.pid}-${index}`,
      incarnation: randomUUID(),
      agent: "bench",
      slots: 1,
      jobTypes: [{ name: "idle", levers: ["run"] }],
    }),
  });
  const beat = (echoServerTimeUs: bigint) =>
    say({
      case: "heartbeat",
      value: create(WorkerHeartbeatSchema, { echoServerTimeUs, workerTimeUs: BigInt(Date.now() * 1000) }),
    });
  // Those of a server that sends none come by themselves, so that both servers have the same to do.
  setInterval(() => beat(0n), 5_000);
  return new Promise((resolve) => {
    onMessage(stream, ConnectResponseSchema, ({ message }) => {
      resolve();
      if (message.case === "heartbeat") beat(message.value.serverTimeUs);
    });
  });
}

const workers = Number(process.env["WORKERS"] ?? 1);
// Not all at once: it is not the storm that is measured.
for (let i = 0; i < workers; i += 50) {
  await Promise.all(Array.from({ length: Math.min(50, workers - i) }, (_, at) => connectOne(i + at)));
  await delay(20);
}
process.stdout.write("connected\n");
