import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startOperatorListener, temporaryFolder, token } from "./http/test-listeners.ts";
import { askForLink } from "./link.ts";
import { writeServerFile } from "./server-file.ts";

async function folderOf(operatorUrl: string, secret = token) {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "token"), `${secret}\n`, { mode: 0o600 });
  await writeServerFile(folder, { pid: process.pid, origin: operatorUrl, operatorUrl, workerUrl: operatorUrl });
  return folder;
}

test("a running server gives a link that works", async () => {
  const { url, codes } = await startOperatorListener();
  const link = new URL(await askForLink(await folderOf(url)));
  expect(codes.redeem(link.hash.replace("#code=", ""))).toBe("right");
});

test("without a server the message says so, and how to start one", async () => {
  const empty = await temporaryFolder();
  await expect(askForLink(empty)).rejects.toThrow(
    `No Signalbox server runs with the data folder ${empty}. Start one with: npm start`,
  );
  const { listener, url } = await startOperatorListener();
  await listener.stop();
  await expect(askForLink(await folderOf(url))).rejects.toThrow("No Signalbox server runs");
});

test("a server with another token, and something that is no Signalbox, are told apart from no server", async () => {
  const { url } = await startOperatorListener();
  await expect(askForLink(await folderOf(url, "o".repeat(43)))).rejects.toThrow(
    `at ${url} refused with HTTP status 401`,
  );
  const other = createServer((_request, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  await expect(askForLink(await folderOf(`http://127.0.0.1:${port}`))).rejects.toThrow("HTTP status 404");
});
