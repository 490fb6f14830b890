import { createClient } from "@connectrpc/connect";
import { WorkerService } from "@signalbox/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { ConnectRequestSchema } from "@signalbox/protocol";
import { expect, onTestFinished, test } from "vitest";
import { grpc } from "../http/test-listeners.ts";
import { openTestServer } from "../testing/open-test-server.ts";
import { frame, openGrpc, openSession, readGrpc } from "../testing/raw-rpc.ts";
import { TestWorker } from "../testing/test-worker.ts";

const connectPath = "/signalbox.v1.WorkerService/Connect";
const encode = (message: Parameters<typeof create<typeof ConnectRequestSchema>>[1]) =>
  frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, message)));
const hello = (workerId: string) =>
  encode({ message: { case: "hello", value: { workerId, incarnation: crypto.randomUUID(), slots: 1 } } });

test("a worker that talks without pause is heard out at a rate, and others have their turns meanwhile", async () => {
  await using room = await openTestServer();
  const auth = { authorization: `Bearer ${room.token}` };
  const session = openSession(room.workerUrl);
  onTestFinished(() => session.destroy());
  const loud = openGrpc(session, connectPath, { headers: auth });
  const answer = readGrpc(loud);
  const beat = encode({ message: { case: "heartbeat", value: {} } });
  loud.write(hello("loud"));
  const beats = 3_000;
  const beganAt = performance.now();
  loud.write(Buffer.concat(Array.from({ length: beats }, () => beat)));
  await using quiet = new TestWorker(createClient(WorkerService, grpc(room.workerUrl, auth)), { workerId: "quiet" });
  await quiet.heard("welcome");
  loud.end(encode({ message: { case: "leaving", value: {} } }));
  expect((await answer).trailers["grpc-status"]).toBe("0");
  // Two thousand at once, the others at 500 a second.
  expect(performance.now() - beganAt).toBeGreaterThan(1_800);
});

test("what comes in one packet with hello is not lost, and a message that is none ends the stream with the reason", async () => {
  await using room = await openTestServer();
  const session = openSession(room.workerUrl);
  onTestFinished(() => session.destroy());
  const stream = openGrpc(session, connectPath, { headers: { authorization: `Bearer ${room.token}` } });
  const answer = readGrpc(stream);
  stream.end(
    Buffer.concat([hello("w"), encode({ message: { case: "heartbeat", value: {} } }), frame(Buffer.of(0xff))]),
  );
  const { trailers, frames } = await answer;
  expect(trailers["grpc-status"]).toBe("3");
  expect(frames.length).toBeGreaterThan(0);
});
