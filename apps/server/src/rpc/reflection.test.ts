import { createRequire } from "node:module";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, type FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync, type PackageDefinition } from "@grpc/proto-loader";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GrpcJsClient } from "../testing/grpc-js-client.ts";
import { openTestServer, type TestServer } from "../testing/open-test-server.ts";

let room: TestServer;
let client: GrpcJsClient;
beforeAll(async () => {
  room = await openTestServer();
  client = new GrpcJsClient(room.workerUrl, room.token);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await room[Symbol.asyncDispose]();
});

interface Answer {
  readonly file_descriptor_response?: { readonly file_descriptor_proto: readonly Buffer[] };
  readonly list_services_response?: { readonly service: readonly { readonly name: string }[] };
  readonly all_extension_numbers_response?: { readonly base_type_name: string; readonly extension_number: number[] };
  readonly error_response?: { readonly error_code: number; readonly error_message: string };
}

describe.each(["v1", "v1alpha"])("grpc.reflection.%s", (version) => {
  const service = `grpc.reflection.${version}.ServerReflection`;
  const path = createRequire(import.meta.url).resolve(
    `@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`,
  );
  const definitions = loadSync(path, { keepCase: true });
  const ask = (...questions: object[]) =>
    client.converse(definitions, service, "ServerReflectionInfo", questions) as Promise<Answer[]>;
  const filesOf = (answer: Answer | undefined): FileDescriptorProto[] =>
    (answer?.file_descriptor_response?.file_descriptor_proto ?? []).map((each) =>
      fromBinary(FileDescriptorProtoSchema, each),
    );

  test("lists every service of the port", async () => {
    const [answer] = await ask({ list_services: "" });
    expect(answer?.list_services_response?.service.map(({ name }) => name).sort()).toEqual([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "signalbox.v1.AuditService",
      "signalbox.v1.BulkService",
      "signalbox.v1.JobService",
      "signalbox.v1.LiveService",
      "signalbox.v1.LogService",
      "signalbox.v1.RunService",
      "signalbox.v1.WorkerService",
    ]);
  });

  test("a client that has nothing but the address and the token can call", async () => {
    const [answer] = await ask({ file_containing_symbol: "signalbox.v1.JobService" });
    const contract = learn(filesOf(answer));
    const { jobs } = (await client.unary(contract, "signalbox.v1.JobService", "ListJobs", {})) as { jobs?: unknown[] };
    expect(jobs ?? []).toEqual([]);
  });

  test("resolves WorkerService and everything that it needs", async () => {
    const [answer] = await ask({ file_containing_symbol: "signalbox.v1.WorkerService" });
    const files = filesOf(answer);
    expect(files[0]?.name).toBe("signalbox/v1/worker.proto");
    const names = files.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { dependency } of files) expect(names).toEqual(expect.arrayContaining(dependency));
    expect(Object.keys(learn(files)["signalbox.v1.WorkerService"] ?? {}).sort()).toEqual(["Connect", "PushLogs"]);
  });

  test.each([
    "signalbox.v1.WorkerService.PushLogs",
    "signalbox.v1.Hello",
    "signalbox.v1.Hello.worker_id",
    "signalbox.v1.Hello.LabelsEntry",
    "signalbox.v1.ConnectRequest.message",
  ])("finds the file of %s", async (symbol) => {
    const [answer] = await ask({ file_containing_symbol: symbol });
    expect(filesOf(answer)[0]?.name).toBe("signalbox/v1/worker.proto");
  });

  test("finds the file of an enum and of its values, which stand beside it", async () => {
    const answers = await ask(
      { file_containing_symbol: "signalbox.v1.Level" },
      { file_containing_symbol: "signalbox.v1.LEVEL_ERROR" },
    );
    expect(answers.map((answer) => filesOf(answer)[0]?.name)).toEqual(Array(2).fill("signalbox/v1/chunk.proto"));
  });

  test("gives files by name, those of Google too", async () => {
    const answers = await ask(
      { file_by_filename: "signalbox/v1/chunk.proto" },
      { file_by_filename: "google/protobuf/struct.proto" },
    );
    expect(answers.map((answer) => filesOf(answer)[0]?.name)).toEqual([
      "signalbox/v1/chunk.proto",
      "google/protobuf/struct.proto",
    ]);
  });

  test("answers what it cannot find with an error, and goes on", async () => {
    const answers = await ask(
      { file_by_filename: "nothing.proto" },
      { file_containing_symbol: "signalbox.v1.Nothing" },
      { file_containing_extension: { containing_type: "signalbox.v1.Hello", extension_number: 7 } },
      { all_extension_numbers_of_type: "signalbox.v1.Nothing" },
      {},
      { all_extension_numbers_of_type: "signalbox.v1.Hello" },
      { list_services: "*" },
    );
    expect(answers.map(({ error_response }) => error_response?.error_code)).toEqual([
      ...Array<number>(4).fill(status.NOT_FOUND),
      status.INVALID_ARGUMENT,
      undefined,
      undefined,
    ]);
    expect(answers[5]?.all_extension_numbers_response?.base_type_name).toBe("signalbox.v1.Hello");
  });

  test("needs the token", async () => {
    using nobody = new GrpcJsClient(room.workerUrl);
    await expect(
      nobody.converse(definitions, service, "ServerReflectionInfo", [{ list_services: "" }]),
    ).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  });
});

/** What another make of gRPC makes of the files. */
function learn(file: FileDescriptorProto[]): PackageDefinition {
  return loadFileDescriptorSetFromBuffer(
    Buffer.from(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }))),
  );
}
