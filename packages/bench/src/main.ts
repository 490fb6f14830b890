import { loadavg } from "node:os";
import { measureCommands } from "./commands.ts";
import { measureGrpcJs } from "./grpc-js-peer.ts";
import { measureIngest } from "./ingest.ts";
import { summarise } from "./statistics.ts";

// `npm run bench`: figures of the product beside those of a peer, taken in turns in the same run. ROUNDS and LINES make it shorter.

const rounds = Number(process.env["ROUNDS"] ?? 5);
const linesEach = Number(process.env["LINES"] ?? 500_000);

const rate = (value: number) => `${Math.round(value).toLocaleString("en")} lines/s`;
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

for (const linesPerSecond of [0, 50_000]) {
  const { p50, p99 } = await measureCommands(300, linesPerSecond);
  rows.push([
    `click to applied, ${linesPerSecond === 0 ? "idle" : rate(linesPerSecond)}`,
    `p50 ${p50.toFixed(1)} ms`,
    `p99 ${p99.toFixed(1)} ms`,
    "",
  ]);
}

const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column as 0].length)));
console.log(
  `\nmedian of ${rounds} rounds, 4 × ${linesEach.toLocaleString("en")} lines of 120 bytes, node ${process.version}\n`,
);
const print = (row: readonly string[]) =>
  console.log(`| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`);
print(["what", "median", "spread", "to peer"]);
print(widths.map((width) => "-".repeat(width)));
rows.forEach(print);
