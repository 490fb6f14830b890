import { once } from "node:events";
import { status, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath } from "grpc-health-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GrpcJsClient } from "../testing/grpc-js-client.ts";
import { openTestServer, type TestServer } from "../testing/open-test-server.ts";

const definitions = loadSync(protoPath, { enums: String });
const service = "grpc.health.v1.Health";

let room: TestServer;
let probe: GrpcJsClient;
beforeEach(async () => {
  room = await openTestServer();
  probe = new GrpcJsClient(room.workerUrl);
});
afterEach(async () => {
  probe[Symbol.dispose]();
  await room[Symbol.asyncDispose]();
});

const check = (name: string) => probe.unary(definitions, service, "Check", { service: name });
const readyz = async () => (await fetch(`${room.operatorUrl}/readyz`)).status;

/** What a watch says, one after the other; the last word is its end. */
function watch(name: string): { said: string[]; leave: () => void } {
  const said: string[] = [];
  const call = probe.stream(definitions, service, "Watch", { service: name });
  call.on("data", (answer: { status: string }) => said.push(answer.status));
  call.on("error", (error: ServiceError) => said.push(status[error.code] ?? "?"));
  return { said, leave: () => call.cancel() };
}

test("a probe without a token learns the health of the server and of each of its services, as /readyz tells it", async () => {
  expect(await readyz()).toBe(200);
  for (const name of ["", "signalbox.v1.WorkerService", "signalbox.v1.JobService", service])
    expect(await check(name)).toEqual({ status: "SERVING" });
  const { statuses } = (await probe.unary(definitions, service, "List", {})) as { statuses: object };
  expect(statuses).toMatchObject({
    "": { status: "SERVING" },
    "signalbox.v1.WorkerService": { status: "SERVING" },
    "grpc.reflection.v1.ServerReflection": { status: "SERVING" },
  });

  room.server.beginDrain();
  expect(await readyz()).toBe(503);
  for (const name of ["", "signalbox.v1.WorkerService"]) expect(await check(name)).toEqual({ status: "NOT_SERVING" });
});

test("of a service that is not there Check knows nothing, and Watch says so and stays", async () => {
  await expect(check("signalbox.v1.Nothing")).rejects.toMatchObject({ code: status.NOT_FOUND });
  const { said, leave } = watch("signalbox.v1.Nothing");
  await expect.poll(() => said).toEqual(["SERVICE_UNKNOWN"]);
  room.server.beginDrain();
  expect(await check("")).toEqual({ status: "NOT_SERVING" });
  expect(said).toEqual(["SERVICE_UNKNOWN"]);
  leave();
  await expect.poll(() => said).toEqual(["SERVICE_UNKNOWN", "CANCELLED"]);
});

test("who watches is told at once that the server drains, and then that it is gone", async () => {
  const { said } = watch("");
  await expect.poll(() => said).toEqual(["SERVING"]);
  room.server.beginDrain();
  await expect.poll(() => said).toEqual(["SERVING", "NOT_SERVING"]);
  await room.server.stop();
  await expect.poll(() => said).toEqual(["SERVING", "NOT_SERVING", "UNAVAILABLE"]);
});

test("only so many may watch, and who leaves makes room", async () => {
  const watches = Array.from({ length: 100 }, () => watch(""));
  await expect.poll(() => watches.filter(({ said }) => said.length === 1).length).toBe(100);
  const refused = probe.stream(definitions, service, "Watch", { service: "" });
  const [error] = (await once(refused, "error")) as [ServiceError];
  expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
  expect(await check("")).toEqual({ status: "SERVING" });
  watches[0]?.leave();
  await expect
    .poll(async () => {
      const { said, leave } = watch("");
      await expect.poll(() => said.length).toBe(1);
      leave();
      return said[0];
    })
    .toBe("SERVING");
});

test("nothing else is open to who has no token", async () => {
  const jobs = probe.unary(
    {
      x: {
        y: {
          path: "/signalbox.v1.JobService/ListJobs",
          requestStream: false,
          responseStream: false,
          requestSerialize: () => Buffer.alloc(0),
          responseDeserialize: () => ({}),
        },
      },
    } as never,
    "x",
    "y",
    {},
  );
  await expect(jobs).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
});
