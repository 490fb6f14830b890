import { openSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { LineReader, Testimonies, type Testimony } from "./testimony.ts";

// The third process: workers tell it what they are about to print and what was acknowledged to them, over a unix socket, and it writes
// that down in a file that only grows. It knows neither the server nor the workers, so that no kill of theirs takes anything from it.
// Usage: oracle.ts <socket> <journal file>. Whoever writes `?` gets all that was told, as JSON.

const [socketPath, journalPath] = process.argv.slice(2);
if (!socketPath || !journalPath) throw new Error("usage: oracle.ts <socket> <journal file>");
const journal = openSync(journalPath, "a", 0o600);
const testimonies = new Testimonies();

createServer((socket) => {
  const reader = new LineReader();
  socket.on("data", (bytes) => {
    let record = "";
    let isAsked = false;
    for (const line of reader.take(bytes)) {
      if (line === "?") {
        isAsked = true;
        continue;
      }
      record += `${line}\n`;
      testimonies.take(JSON.parse(line) as Testimony);
    }
    if (record) writeSync(journal, record);
    if (isAsked) socket.write(`${JSON.stringify(testimonies.all)}\n`);
  });
  // A worker that was killed leaves half a line at most, of something that it has not printed.
  socket.on("error", () => undefined);
}).listen(socketPath, () => process.stdout.write("listening\n"));
