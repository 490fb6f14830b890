import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, createServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { JobService, JobState, LiveService } from "@signalbox/protocol";
import { expect, onTestFinished, test, vi } from "vitest";

vi.setConfig({ testTimeout: 30_000 });
const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const job = { id: "j-0000000000", name: "over", state: JobState.CANCELED, createdAtUs: 1n, endedAtUs: 2n };

/** A server that does not begin with the calls that `isTurnedAway` names, by their order and path, as one does that stops. */
async function startServer(isTurnedAway: (call: number, path: string) => boolean): Promise<string> {
  let calls = 0;
  const answer = connectNodeAdapter({
    routes: (router) =>
      router.service(JobService, { getJob: () => ({ job }) }).service(LiveService, {
        async *watch({ subscriptions }) {
          await Promise.resolve();
          yield {
            subscriptionId: subscriptions[0]?.id ?? "",
            message: { case: "entries", value: { entries: [{ record: job }] } },
          };
        },
      }),
  });
  const server = createServer((request: Http2ServerRequest, response: Http2ServerResponse) => {
    if (isTurnedAway(calls++, request.url)) request.stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function signalbox(url: string, ...args: string[]): Promise<{ code: number; stderr: string }> {
  const env = { ...process.env, SIGNALBOX_URL: url, SIGNALBOX_TOKEN: "token" };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number];
  return { code, stderr };
}

test("a call that a server does not begin with, because it stops, is made again, and if that does not help it is said", async () => {
  expect(await signalbox(await startServer((call) => call === 0), "job", job.id)).toEqual({ code: 0, stderr: "" });
  const url = await startServer(() => true);
  expect(await signalbox(url, "job", job.id)).toEqual({
    code: 4,
    stderr: `signalbox: the server at ${url} is stopping.\nTry again when it is back.\n`,
  });
});

test.each([
  ["looks for the job", (call: number) => call < 3],
  ["asks for its log", (_: number, path: string) => path.endsWith("/Watch") && !isBack()],
])("a log that is followed outlives a server that begins to stop while the command %s", async (_, isTurnedAway) => {
  asked = 0;
  const { code, stderr } = await signalbox(await startServer(isTurnedAway), "logs", job.id, "-f");
  expect(stderr).toMatch(/^Not live: the server is stopping\. Trying to connect again\.\n/);
  expect(code).toBe(0);
});

let asked = 0;
/** From the third time on. */
const isBack = () => ++asked > 2;
