import { toBinary, type DescFile, type DescService } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, type DescriptorProto, type EnumDescriptorProto } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { ServerReflection, type ServerReflectionRequest } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as AlphaRequest,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";

// Clients such as grpcurl ask here for the contract, so that they need no .proto files.

/** What is asked; the same in both versions of the protocol, and so are the answers. */
type Question = (ServerReflectionRequest | AlphaRequest)["messageRequest"];
type Answer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** Registers `grpc.reflection.v1` and `v1alpha`, for all services that the router has when somebody asks. */
export function reflection(router: ConnectRouter): void {
  let contract: Contract | undefined;
  async function* answers<R extends ServerReflectionRequest | AlphaRequest>(requests: AsyncIterable<R>) {
    for await (const request of requests) {
      contract ??= new Contract(new Set(router.handlers.map(({ service }) => service)));
      const messageResponse = contract.answer(request.messageRequest);
      yield { validHost: request.host, originalRequest: request, messageResponse };
    }
  }
  router.service(ServerReflection, { serverReflectionInfo: answers<ServerReflectionRequest> });
  router.service(ServerReflectionAlpha, { serverReflectionInfo: answers<AlphaRequest> });
}

/** Services and all that they are made of, by name. */
class Contract {
  readonly #services: readonly string[];
  readonly #files = new Map<string, DescFile>();
  /** Full name of everything that has one, and the file that declares it. */
  readonly #symbols = new Map<string, DescFile>();

  constructor(services: ReadonlySet<DescService>) {
    this.#services = [...services].map(({ typeName }) => typeName);
    for (const { file } of services) this.#add(file);
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "fileByFilename":
        return files(this.#files.get(question.value), `file ${question.value}`);
      case "fileContainingSymbol":
        return files(this.#symbols.get(question.value), `symbol ${question.value}`);
      case "fileContainingExtension":
        // The contract is proto3, which has none.
        return files(undefined, `extension of ${question.value.containingType}`);
      case "allExtensionNumbersOfType":
        return this.#symbols.has(question.value)
          ? { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber: [] } }
          : failed(Code.NotFound, `There is no type ${question.value} here.`);
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#services.map((name) => ({ name })) } };
      case undefined:
        return failed(Code.InvalidArgument, "The request asks for nothing.");
    }
  }

  #add(file: DescFile): void {
    const { name, package: scope, messageType, enumType, service } = file.proto;
    if (this.#files.has(name)) return;
    this.#files.set(name, file);
    for (const symbol of symbolsOf(scope, messageType, enumType)) this.#symbols.set(symbol, file);
    for (const each of service) {
      const own = join(scope, each.name);
      for (const symbol of [own, ...each.method.map((method) => join(own, method.name))])
        this.#symbols.set(symbol, file);
    }
    for (const dependency of file.dependencies) this.#add(dependency);
  }
}

/** Full names of messages and enums, and of all that is in them. */
function symbolsOf(
  scope: string,
  messages: readonly DescriptorProto[],
  enums: readonly EnumDescriptorProto[],
): string[] {
  return [
    // The values of an enum stand beside it, not in it.
    ...enums.flatMap(({ name, value }) => [name, ...value.map((each) => each.name)].map((each) => join(scope, each))),
    ...messages.flatMap(({ name, field, oneofDecl, nestedType, enumType }) => {
      const own = join(scope, name);
      const parts = [...field, ...oneofDecl].map((each) => join(own, each.name));
      return [own, ...parts, ...symbolsOf(own, nestedType, enumType)];
    }),
  ];
}

function join(scope: string, name: string): string {
  return scope === "" ? name : `${scope}.${name}`;
}

/** A file and everything that it needs, itself first. */
function files(file: DescFile | undefined, what: string): Answer {
  if (!file) return failed(Code.NotFound, `There is no ${what} here.`);
  const needed = new Set<DescFile>([file]);
  // A set goes on with what is added while it is looped over.
  for (const each of needed) for (const dependency of each.dependencies) needed.add(dependency);
  const encoded = [...needed].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: encoded } };
}

function failed(code: Code, message: string): Answer {
  return { case: "errorResponse", value: { errorCode: code, errorMessage: message.slice(0, 500) } };
}
