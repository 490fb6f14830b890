import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { runProgram } from "../../../scripts/programs.ts";
import { logLines } from "./log-lines.ts";

// The peer: bare @grpc/grpc-js streams of the same lines, client and server in processes of their own, as fast as they go. Messages
// of 200 typed entries, encoded and decoded by its own loader. Nothing is stored: the server counts.

const linesPerMessage = 200;
const connections = 4;

interface Batch {
  readonly job: string;
  readonly entries: readonly {
    readonly seq: number;
    readonly time_us: number;
    readonly level: number;
    readonly line: string;
  }[];
}

function loadMethod(): grpc.MethodDefinition<Batch, { count: number }> {
  const loaded = loadSync(fileURLToPath(new URL("peer.proto", import.meta.url)), { keepCase: true, longs: Number });
  const service = loaded["peer.Peer"] as grpc.ServiceDefinition;
  // The loader knows no types; this is the one method of peer.proto.
  return service["Push"] as grpc.MethodDefinition<Batch, { count: number }>;
}

/** Lines per second of four streams on four connections. The number of lines that arrived is checked. */
export async function measureGrpcJs(linesEach: number): Promise<number> {
  const server = runProgram("packages/bench/src/grpc-js-server.ts", {});
  try {
    const port = (await server.printed(/port (\d+)/))[1];
    const entries = logLines(20_000, 120).map((line, seq) => ({ seq, time_us: 1.7e15 + seq, level: 3, line }));
    const batches: Batch[] = [];
    for (let i = 0; i < entries.length; i += linesPerMessage)
      batches.push({ job: "job", entries: entries.slice(i, i + linesPerMessage) });
    const method = loadMethod();
    const round = async (count: number) => {
      const begin = performance.now();
      const arrived = await Promise.all(
        Array.from({ length: connections }, (_, i) =>
          push(method, `127.0.0.1:${port}`, i, batches, count / linesPerMessage),
        ),
      );
      if (arrived.some((each) => each !== count))
        throw new Error(`the peer received ${arrived.join(", ")} of ${count} lines`);
      return (count * connections) / ((performance.now() - begin) / 1000);
    };
    await round(linesEach / 5);
    return await round(linesEach);
  } finally {
    await server.kill("SIGTERM");
  }
}

function push(
  method: grpc.MethodDefinition<Batch, { count: number }>,
  address: string,
  channel: number,
  batches: readonly Batch[],
  messages: number,
): Promise<number> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
    "grpc.channel_id": channel,
    "grpc.use_local_subchannel_pool": 1,
  });
  return new Promise<number>((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      (error, answer) => {
        client.close();
        if (error) reject(error);
        else resolve(answer?.count ?? 0);
      },
    );
    let sent = 0;
    const write = () => {
      while (sent < messages) {
        const batch = batches[sent++ % batches.length];
        if (batch && !call.write(batch)) {
          call.once("drain", write);
          return;
        }
      }
      call.end();
    };
    write();
  });
}

/** Serves the peer until the process is ended; prints its port. */
export function servePeer(): void {
  const server = new grpc.Server();
  server.addService(
    { push: loadMethod() },
    {
      push: (
        call: grpc.ServerReadableStream<Batch, { count: number }>,
        answer: grpc.sendUnaryData<{ count: number }>,
      ) => {
        let count = 0;
        call.on("data", (batch: Batch) => (count += batch.entries.length));
        call.on("end", () => answer(null, { count }));
      },
    },
  );
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    process.stdout.write(`port ${port}\n`);
  });
}
