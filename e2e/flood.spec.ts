import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ChunkLines,
  CommandSchema,
  JobState,
  Level,
  ReceiptState,
  RunMode,
  type LeverValueSchema,
} from "@signalbox/protocol";
import { expect, test, type Signalbox } from "./fixtures.ts";

type Lever = NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>;

/** So many lines a second the workers print together. */
const linesPerSecond = 50_000;
/** A machine may have more to do: control that waits behind lines takes much longer, or for ever. */
const appliedWithinMs = 3_000;
const inEffect: readonly ReceiptState[] = [ReceiptState.APPLIED, ReceiptState.PROVED];
const run = (mode: RunMode): Lever => ({ case: "run", value: { mode, graceMs: 5_000 } });
const speed = (itemsPerSecond: number): Lever => ({ case: "speed", value: { itemsPerSecond } });
const level = (lowest: Level): Lever => ({ case: "logLevel", value: { level: lowest } });

/** Sets a lever; resolves with its receipt once it is in effect. */
async function apply({ jobs }: Signalbox, jobId: string, value: Lever) {
  const command = create(CommandSchema, { action: { case: "set", value: { value } } });
  const { generation } = await jobs.sendCommand({ requestId: randomUUID(), jobId, command });
  const receipt = async () =>
    (await jobs.getJob({ jobId })).job?.receipts.find((each) => each.generation === generation);
  await expect
    .poll(async () => inEffect.includes((await receipt())?.state ?? ReceiptState.UNSPECIFIED), {
      timeout: 20_000,
    })
    .toBe(true);
  const applied = await receipt();
  if (!applied) throw new Error("no receipt");
  // By the server's own clock, so that nothing of how this test looks at it counts.
  expect(Number(applied.decidedAtUs - applied.acceptedAtUs) / 1000).toBeLessThan(appliedWithinMs);
  return applied;
}

/** The text of the stored lines from one on, as many as one call gives. */
async function textFrom({ logs }: Signalbox, jobId: string, fromLine: bigint, toLine: bigint): Promise<string> {
  const lines: string[] = [];
  const { entries } = await logs.readLogs({ jobId, attempt: 1, fromLine });
  for (const { entry } of entries) {
    if (entry.case !== "chunk") continue;
    const chunk = new ChunkLines(entry.value);
    const texts = Buffer.from(chunk.blob()).toString().split("\n").slice(0, -1);
    for (const [i, text] of texts.entries()) {
      const line = BigInt(chunk.firstLine + i);
      if (line >= fromLine && line < toLine) lines.push(text);
    }
  }
  return lines.join("\n");
}

test("levers move while workers flood: control never waits behind lines, and a marker stands where it took effect", async ({
  signalbox,
}) => {
  await Promise.all([signalbox.worker("w1"), signalbox.worker("w2")]);
  const [steered, other] = await Promise.all([signalbox.startJob("flood"), signalbox.startJob("flood")]);
  await Promise.all([signalbox.state(steered, JobState.RUNNING), signalbox.state(other, JobState.RUNNING)]);
  const stored = async (id: string) => Number((await signalbox.job(id)).vitals?.lines ?? 0n);
  const both = async () => (await stored(steered)) + (await stored(other));
  await expect.poll(both).toBeGreaterThan(linesPerSecond / 2);
  const since = { lines: await stored(other), ms: performance.now() };

  const quiet = await apply(signalbox, steered, level(Level.INFO));
  expect(await textFrom(signalbox, steered, quiet.atLine - 50n, quiet.atLine)).toContain("in detail");
  await expect.poll(() => stored(steered)).toBeGreaterThan(Number(quiet.atLine) + 200);
  const after = await textFrom(signalbox, steered, quiet.atLine, quiet.atLine + 200n);
  expect(after).toContain("line 0");
  expect(after).not.toContain("in detail");
  await apply(signalbox, steered, level(Level.DEBUG));

  for (const each of [speed(400), speed(500)]) await apply(signalbox, steered, each);
  // What no lever takes is refused before it goes anywhere.
  const { record } = await signalbox.job(steered);
  await expect(apply(signalbox, steered, speed(-1))).rejects.toThrow(/Speed -1 is not above 0/);
  expect((await signalbox.job(steered)).record.spec).toEqual(record.spec);

  await apply(signalbox, steered, run(RunMode.PAUSE));
  await signalbox.state(steered, JobState.PAUSED);
  const stands = (await signalbox.job(steered)).vitals?.itemsDone;
  await apply(signalbox, other, speed(450));
  await apply(signalbox, other, speed(500));
  expect((await signalbox.job(steered)).vitals?.itemsDone).toBe(stands);
  await apply(signalbox, steered, run(RunMode.RUN));

  const perSecond = ((await stored(other)) - since.lines) / ((performance.now() - since.ms) / 1000);
  // The flood was one all the while, as far as the machine lets it.
  expect(perSecond).toBeGreaterThan(linesPerSecond / 2 / 5);
  await Promise.all([apply(signalbox, steered, run(RunMode.CANCEL)), apply(signalbox, other, run(RunMode.CANCEL))]);
  await Promise.all([signalbox.state(steered, JobState.CANCELED), signalbox.state(other, JobState.CANCELED)]);
});
