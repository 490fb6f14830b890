import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { NoisyClient, noises } from "./noisy-client.ts";

// A process of one worker that makes NOISE, one of those of noisy-client.ts, until it is killed. It steps back behind all other
// processes: with few cores the canary would else wait for a core and not for the server.

setPriority(19);
const noise = noises.find((each) => each === process.env["NOISE"]);
if (!noise) throw new Error(`NOISE is one of ${noises.join(", ")}`);
const token = readFileSync(process.env["SIGNALBOX_TOKEN_FILE"] ?? "", "utf8").trim();
const client = new NoisyClient(process.env["SIGNALBOX_URL"] ?? "", token, noise);
process.stdout.write("started\n");
await client.started;
process.stdout.write("noise\n");
process.on("SIGUSR2", () => process.stdout.write(`said ${client.said}\n`));
