import { readFile } from "node:fs/promises";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { JobService, LiveService, LogService } from "@signalbox/protocol";

/** Clients over gRPC, as programs use them: they see what is stored. */
export interface ProgramClients {
  readonly jobs: Client<typeof JobService>;
  readonly logs: Client<typeof LogService>;
  readonly live: Client<typeof LiveService>;
}

/** Clients over gRPC-Web on HTTP/1.1, as a browser uses them. */
export interface WebClients {
  readonly live: Client<typeof LiveService>;
  readonly logs: Client<typeof LogService>;
}

function bearer(tokenFile: string): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${(await readFile(tokenFile, "utf8")).trim()}`);
    return next(request);
  };
}

export function programClients(port: number, tokenFile: string): ProgramClients {
  const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}`, interceptors: [bearer(tokenFile)] });
  return {
    jobs: createClient(JobService, transport),
    logs: createClient(LogService, transport),
    live: createClient(LiveService, transport),
  };
}

export function webClients(port: number, tokenFile: string): WebClients {
  const transport = createGrpcWebTransport({
    baseUrl: `http://localhost:${port}`,
    httpVersion: "1.1",
    interceptors: [bearer(tokenFile)],
  });
  return { live: createClient(LiveService, transport), logs: createClient(LogService, transport) };
}
