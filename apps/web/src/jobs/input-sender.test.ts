import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { InputRefusalSchema, JobService, type SendInputRequest } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { InputSender } from "./input-sender.ts";

const utf8 = new TextEncoder();
/** What the server has stored, and what happens to the next calls: `lost` stores and then breaks off, `away` breaks off at once. */
let stored: string;
let accidents: ("none" | "lost" | "away" | "refused")[];
let sizes: number[];
let sender: InputSender;

beforeEach(() => {
  vi.useFakeTimers();
  stored = "";
  accidents = [];
  sizes = [];
  const transport = createRouterTransport(({ service }) => service(JobService, { sendInput }));
  sender = new InputSender(createClient(JobService, transport), "j", 1);
});
afterEach(() => vi.useRealTimers());

/** As the contract says: a piece that is there already is not stored again, another one at a wrong place is refused. */
function sendInput({ data, offset }: SendInputRequest) {
  const accident = accidents.shift();
  if (accident === "away") throw new ConnectError("no server", Code.Unavailable);
  if (accident === "refused") throw new ConnectError("The input was ended.", Code.FailedPrecondition);
  const text = new TextDecoder().decode(data);
  const from = offset === undefined ? stored.length : Number(offset);
  if (text.length > 0) sizes.push(text.length);
  const there = stored.slice(from, from + text.length);
  if (from > stored.length || !text.startsWith(there))
    throw new ConnectError("other bytes", Code.Aborted, undefined, [
      { desc: InputRefusalSchema, value: create(InputRefusalSchema, { nextOffset: BigInt(stored.length) }) },
    ]);
  stored += text.slice(there.length);
  if (accident === "lost") throw new ConnectError("broken off", Code.Unavailable);
  return { attempt: 1, nextOffset: BigInt(stored.length) };
}

async function send(text: string) {
  const sending = sender.send(utf8.encode(text));
  sending.catch(() => {});
  await vi.runAllTimersAsync();
  return sending;
}

test("text goes behind what is there, in pieces of at most 64 KiB", async () => {
  stored = "before ";
  const text = "x".repeat(150_000);
  expect(await send(text)).toBe(BigInt(150_007));
  expect(stored).toBe(`before ${text}`);
  expect(Math.max(...sizes)).toBe(65_536);
});

test("a lost answer doubles nothing", async () => {
  accidents = ["away", "lost", "none", "lost", "away", "lost"];
  await send("yes\n");
  expect(accidents).toEqual([]);
  expect(stored).toBe("yes\n");
});

test("text that was given back is not doubled when it is sent again", async () => {
  accidents = ["none", "lost", "away", "away", "away", "away"];
  await expect(send("yes\n")).rejects.toThrow();
  expect(stored).toBe("yes\n");
  await send("yes\n");
  expect(stored).toBe("yes\n");
  await send("yes\n");
  expect(stored).toBe("yes\nyes\n");
});

test("two who type at the same time are both heard", async () => {
  const first = sender.send(utf8.encode("mine\n"));
  stored = "theirs\n";
  await vi.runAllTimersAsync();
  await first;
  expect(stored).toBe("theirs\nmine\n");
});

test("a refusal is said at once", async () => {
  accidents = ["refused"];
  await expect(send("late\n")).rejects.toThrow("The input was ended.");
  expect(stored).toBe("");
});
