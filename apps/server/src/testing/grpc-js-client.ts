import * as grpc from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";

/** A gRPC client of another make than the server's. Messages are plain objects in the form of proto-loader. */
export class GrpcJsClient implements Disposable {
  readonly #client: grpc.Client;
  readonly #metadata = new grpc.Metadata();

  /** `url` is `http://host:port`. Without a token none is sent. */
  constructor(url: string, token?: string) {
    this.#client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure());
    if (token !== undefined) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  /** A unary call. Rejects with a grpc.ServiceError. */
  unary(definitions: PackageDefinition, service: string, method: string, request: object): Promise<object> {
    const { path, requestSerialize, responseDeserialize } = methodOf(definitions, service, method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata,
        (error, answer) => {
          if (error) reject(error);
          else resolve(answer ?? {});
        },
      );
    });
  }

  /** A server stream; cancel it to leave. */
  stream(definitions: PackageDefinition, service: string, method: string, request: object) {
    const { path, requestSerialize, responseDeserialize } = methodOf(definitions, service, method);
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, this.#metadata);
  }

  /** Sends all requests on one bidirectional stream and resolves with the answers when it has ended. Rejects with a grpc.ServiceError. */
  async converse(
    definitions: PackageDefinition,
    service: string,
    method: string,
    requests: readonly object[],
  ): Promise<object[]> {
    const { path, requestSerialize, responseDeserialize } = methodOf(definitions, service, method);
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadata);
    for (const request of requests) call.write(request);
    call.end();
    const answers: object[] = [];
    for await (const answer of call) answers.push(answer as object);
    return answers;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function methodOf(definitions: PackageDefinition, service: string, method: string) {
  // The loader knows no types: a service is a record of its methods.
  const found = (definitions[service] as grpc.ServiceDefinition | undefined)?.[method];
  if (!found) throw new Error(`no method ${service}/${method}`);
  return found as grpc.MethodDefinition<object, object>;
}
