import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { ChattyClient } from "./chatty-client.ts";
import { logLines } from "./log-lines.ts";
import { quantile } from "./statistics.ts";

// A worker whose job prints a line every 50 ms, as a healthy one does. At each SIGUSR2 it measures for SECONDS the time from a line to its
// acknowledgement, and prints what that was.

const seconds = Number(process.env["SECONDS"] ?? 5);
const token = readFileSync(process.env["SIGNALBOX_TOKEN_FILE"] ?? "", "utf8").trim();
const lines = logLines(1000, 120).map((line) => Buffer.from(line));
let times: number[] = [];
const client = new ChattyClient(process.env["SIGNALBOX_URL"] ?? "", token, "canary", (ms) => times.push(ms));
process.stdout.write("started\n");
await client.ready;
process.stdout.write("ready\n");
let printed = 0;
setInterval(() => client.print(lines[printed++ % lines.length] ?? Buffer.of(10)), 50);

process.on("SIGUSR2", () => {
  times = [];
  void delay(seconds * 1000).then(() => {
    times.sort((a, b) => a - b);
    const result = { p50: quantile(times, 0.5), p99: quantile(times, 0.99), lines: times.length };
    process.stdout.write(`result ${JSON.stringify(result)}\n`);
  });
});
