import { loadavg } from "node:os";
import { measureChatty, measureHttp2Floor } from "./chatty.ts";
import { measureCommands } from "./commands.ts";
import { measureGrpcJs } from "./grpc-js-peer.ts";
import { measureIngest } from "./ingest.ts";
import { summarise } from "./statistics.ts";
import { measureSupervised } from "./supervised.ts";

// `npm run bench`: figures of the product beside those of a peer, taken in turns in the same run. ROUNDS, LINES and SUPERVISED_MB make it shorter.

const rounds = Number(process.env["ROUNDS"] ?? 5);
const linesEach = Number(process.env["LINES"] ?? 500_000);

const rate = (value: number) => `${Math.round(value).toLocaleString("en")} lines/s`;
const bytesRate = (value: number) => `${Math.round(value / 1e6)} MB/s`;
const memoryOf = (value: number) => `${Math.round(value / 1e6)} MB`;
const share = (value: number) => `${Math.round(value * 100)} %`;
const rows: [string, string, string, string][] = [];

const samples = { peer: [] as number[], flood: [] as number[], pour: [] as number[] };
for (let round = 1; round <= rounds; round++) {
  samples.peer.push(await measureGrpcJs(linesEach));
  samples.flood.push(await measureIngest("flood", linesEach));
  samples.pour.push(await measureIngest("pour", linesEach));
  console.log(
    `round ${round} of ${rounds}: grpc-js ${rate(samples.peer.at(-1) ?? 0)}, log calls ${rate(samples.flood.at(-1) ?? 0)}, raw bytes ${rate(samples.pour.at(-1) ?? 0)} (load ${loadavg()[0]?.toFixed(1)})`,
  );
}
const peer = summarise(samples.peer);
const flood = summarise(samples.flood);
const pour = summarise(samples.pour);
rows.push([
  "bare grpc-js stream, 200 entries a message, not durable (peer)",
  rate(peer.median),
  share(peer.spread),
  "1.00",
]);
rows.push([
  "durable ingest, 4 workers, log.info line by line",
  rate(flood.median),
  share(flood.spread),
  (flood.median / peer.median).toFixed(2),
]);
rows.push([
  "durable ingest, 4 workers, log.write raw bytes",
  rate(pour.median),
  share(pour.spread),
  (pour.median / peer.median).toFixed(2),
]);

for (const [linesPerSecond, words] of [
  [0, "idle"],
  [50_000, rate(50_000)],
  [Infinity, "saturating ingest"],
] as const) {
  const { p50, p99 } = await measureCommands(300, linesPerSecond);
  rows.push([`click to applied, ${words}`, `p50 ${p50.toFixed(1)} ms`, `p99 ${p99.toFixed(1)} ms`, ""]);
}

const megabytes = Number(process.env["SUPERVISED_MB"] ?? 1000);
const supervised = await measureSupervised(megabytes);
const toCat = (supervised.runSeconds / supervised.catSeconds).toFixed(1);
rows.push(
  ["cat of the file | cat (floor)", bytesRate(supervised.bytes / supervised.catSeconds), "", "1.0"],
  [
    `signalbox run -- cat, ${megabytes} MB, all on disk`,
    bytesRate(supervised.bytes / supervised.runSeconds),
    "",
    toCat,
  ],
  ["  the same in lines", rate(supervised.lines / supervised.runSeconds), "", ""],
  ["  most memory: supervisor, server", memoryOf(supervised.supervisorBytes), memoryOf(supervised.serverBytes), ""],
);

const chatty = { workers: 500, perSecond: 20, seconds: 10 };
const floor = await measureHttp2Floor(chatty);
const product = await measureChatty(chatty);
const chattyWords = "500 workers, 20 lines/s each, a message a line";
rows.push(
  [
    `${chattyWords}: bare node:http2 (floor)`,
    `${share(floor.serverCore)} of a core`,
    `p99 ${floor.p99.toFixed(1)} ms`,
    "1.00",
  ],
  [
    `${chattyWords}: server`,
    `${share(product.serverCore)} of a core`,
    `p99 ${product.p99.toFixed(1)} ms`,
    (product.serverCore / floor.serverCore).toFixed(2),
  ],
  ["  lines that waited at its end: floor, server", String(floor.unacknowledged), String(product.unacknowledged), ""],
);

const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column as 0].length)));
console.log(
  `\nmedian of ${rounds} rounds, 4 × ${linesEach.toLocaleString("en")} lines of 120 bytes, node ${process.version}\n`,
);
const print = (row: readonly string[]) =>
  console.log(`| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`);
print(["what", "median", "spread", "to peer"]);
print(widths.map((width) => "-".repeat(width)));
rows.forEach(print);
