import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import {
  AuditService,
  GetJobRequestSchema,
  SendCommandRequestSchema,
  RunMode,
  StartJobRequestSchema,
  StartJobResponseSchema,
  WorkerService,
} from "@signalbox/protocol";
import type { ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, expect, test } from "vitest";
import { grpc } from "../http/test-listeners.ts";
import { openTestServer, type TestServer } from "../testing/open-test-server.ts";
import { frame, openGrpc, openSession, readGrpc } from "../testing/raw-rpc.ts";
import { TestWorker } from "../testing/test-worker.ts";

// A call without a deadline goes the plain way, one with a deadline the general one: both must answer alike.

const service = "/signalbox.v1.JobService/";
const general = { "grpc-timeout": "20S" };
const request = (jobId: string) => frame(toBinary(GetJobRequestSchema, create(GetJobRequestSchema, { jobId })));

let room: TestServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  room = await openTestServer();
  session = openSession(room.workerUrl);
});
afterAll(async () => {
  session.destroy();
  await room[Symbol.asyncDispose]();
});

/** What comes back, in the words that clients see. */
async function ask(method: string, body: Uint8Array, headers: Record<string, string> = {}) {
  const stream = openGrpc(session, service + method, {
    headers: { authorization: `Bearer ${room.token}`, ...headers },
  });
  const answer = readGrpc(stream);
  stream.end(body);
  const { http, type, trailers, frames } = await answer;
  return { http, type, status: trailers["grpc-status"], message: trailers["grpc-message"], frames };
}

test.each([
  ["a job that nobody knows", "GetJob", request("none"), Code.NotFound],
  ["no message", "GetJob", Buffer.of(), Code.Unimplemented],
  ["two messages", "GetJob", Buffer.concat([request("a"), request("b")]), Code.Unimplemented],
  ["half a message", "GetJob", request("a").subarray(0, -1), Code.InvalidArgument],
  ["half a prefix", "GetJob", Buffer.of(0, 0), Code.InvalidArgument],
  ["a prefix that lies", "GetJob", frame(Buffer.alloc(3), 0, 300), Code.InvalidArgument],
  ["a message beyond the limit", "GetJob", frame(Buffer.alloc(1024 * 1024 + 1)), Code.ResourceExhausted],
  ["a prefix beyond the limit", "GetJob", frame(Buffer.alloc(3), 0, 1024 * 1024 + 1), Code.ResourceExhausted],
  ["a compressed message that says nothing of it", "GetJob", frame(Buffer.of(), 1), Code.Internal],
  ["bytes that are no message", "GetJob", frame(Buffer.of(0xff)), Code.Internal],
  ["a command without a command", "SendCommand", frame(Buffer.of()), Code.InvalidArgument],
])("%s is answered alike with and without a deadline", async (_, method, body, code) => {
  const plain = await ask(method, body);
  expect({ ...plain, message: "" }).toEqual({ ...(await ask(method, body, general)), message: "" });
  expect(plain.status).toBe(String(code));
});

test("a call without a deadline is answered, and what is refused is in the audit with who asked", async () => {
  const auth = { authorization: `Bearer ${room.token}` };
  await using worker = new TestWorker(createClient(WorkerService, grpc(room.workerUrl, auth)));
  await worker.heard("welcome");
  const levers = [{ value: { case: "run", value: { mode: RunMode.PAUSE } } } as const];
  const start = create(StartJobRequestSchema, { requestId: "one", type: "count", levers });
  const body = frame(toBinary(StartJobRequestSchema, start));
  const { status, type, frames } = await ask("StartJob", body);
  expect({ status, type }).toEqual({ status: "0", type: "application/grpc+proto" });
  const { job } = fromBinary(StartJobResponseSchema, frames[0]?.data ?? Buffer.of());
  expect(job?.type).toBe("count");
  // The same again has had its effect.
  expect((await ask("StartJob", body, general)).frames).toEqual(frames);
  const nothing = frame(
    toBinary(SendCommandRequestSchema, create(SendCommandRequestSchema, { jobId: job?.id ?? "", requestId: "two" })),
  );
  expect((await ask("SendCommand", nothing)).status).toBe(String(Code.InvalidArgument));
  const audit = createClient(AuditService, grpc(room.workerUrl, auth));
  await expect
    .poll(async () => {
      const { rows } = await audit.listAudit({ filter: { jobId: job?.id ?? "" } });
      return rows.find(({ requestId }) => requestId === "two")?.actor?.name;
    })
    .toBe("token");
});

test("who has no token, or a wrong one, is refused as on any other way", async () => {
  for (const authorization of ["", "Bearer wrong"])
    expect((await ask("GetJob", request("a"), { authorization })).status).toBe(String(Code.Unauthenticated));
});

test("a client that goes in the middle of its request leaves nothing behind, and others are answered", async () => {
  const going = openGrpc(session, `${service}GetJob`, { headers: { authorization: `Bearer ${room.token}` } });
  going.on("error", () => undefined);
  going.write(request("a").subarray(0, 4));
  going.destroy();
  expect((await ask("GetJob", request("none"))).status).toBe(String(Code.NotFound));
});
