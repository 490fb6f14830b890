import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  AssignmentSchema,
  CommandSchema,
  HelloSchema,
  JobTypeSchema,
  ReceiptState,
  StartJobRequestSchema,
  type ConnectResponse,
} from "@signalbox/protocol";
import { pino } from "pino";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { foldAssign } from "../jobs/job-fold.ts";
import { Jobs } from "../jobs/jobs.ts";
import { openTempStore } from "../store/testing.ts";
import type { Store } from "../store/store.ts";
import { candidate, operator } from "../testing/open-queue.ts";
import { saySpec } from "./say.ts";
import { WorkerSession } from "./worker-session.ts";

/** A store whose appends wait while the gate is closed. */
function gated(store: Store, gate: { open: Promise<void> }): Store {
  const { journal } = store;
  const openTopic: typeof journal.open = async (topic, last) => {
    const writer = await journal.open(topic, last);
    return {
      topic,
      opened: writer.opened,
      append: async (data, mark) => {
        await gate.open;
        return writer.append(data, mark);
      },
    };
  };
  const wrapped = new Proxy(journal, {
    get: (of, name) => {
      if (name === "open") return openTopic;
      const value: unknown = Reflect.get(of, name);
      return typeof value === "function" ? (value.bind(of) as unknown) : value;
    },
  });
  return new Proxy(store, {
    get: (of, name) => {
      if (name === "journal") return wrapped;
      const value: unknown = Reflect.get(of, name);
      return typeof value === "function" ? (value.bind(of) as unknown) : value;
    },
  });
}

test("while a command is being taken back nothing is sent to its worker, and then what is wanted without it", async () => {
  await using temp = await openTempStore();
  const gate = { open: Promise.resolve() };
  const jobs = await Jobs.open(gated(temp.store, gate), pino({ level: "silent" }));
  const type = create(JobTypeSchema, { name: "count", levers: ["run", "speed"] });
  const { id } = await jobs.start(create(StartJobRequestSchema, { requestId: "start", type: "count" }), type, operator);
  const job = jobs.get(id);
  const worker = candidate();
  await job.update((before, now) => ({
    actor: operator,
    cause: { case: "assignment", value: create(AssignmentSchema, { attempt: 1, workerId: worker.workerId }) },
    record: foldAssign(before, worker, now),
  }));
  const speed = { value: { case: "speed" as const, value: { itemsPerSecond: 5 } } };
  const set = create(CommandSchema, { action: { case: "set", value: speed } });
  const { generation } = await job.command(set, operator, "set");

  // It is to be said, and not sent yet: its worker reads slowly.
  const hello = create(HelloSchema, { workerId: worker.workerId, incarnation: worker.incarnation, slots: 1 });
  const session = new WorkerSession(hello, 1n, systemClock());
  saySpec(session, job, systemClock);
  const held = Promise.withResolvers<void>();
  gate.open = held.promise;
  const takeBack = create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } });
  const taking = job.command(takeBack, operator, "take back");
  await expect.poll(() => job.takingBack !== undefined).toBe(true);
  for (let turn = 0; turn < 20; turn++) {
    expect(session.next()).toBeUndefined();
    await setImmediate();
  }
  held.resolve();
  const { record } = await taking;
  expect(record.receipts.at(-1)?.state).toBe(ReceiptState.WITHDRAWN);
  let next: ConnectResponse | undefined;
  await expect.poll(() => (next ??= session.next())).toBeDefined();
  const message = next?.message;
  const spec = message?.case === "spec" ? message.value.spec : undefined;
  expect(spec?.generation).toBe(generation + 1n);
  expect(spec?.levers.map((setting) => setting.generation)).not.toContain(generation);
  expect(job.mayHave).toBe(generation + 1n);

  // What was sent is not told as taken back.
  const again = await job.command(set, operator, "set again");
  saySpec(session, job, systemClock);
  expect(session.next()).toBeDefined();
  const late = create(CommandSchema, { action: { case: "withdrawGeneration", value: again.generation } });
  const { record: after } = await job.command(late, operator, "too late");
  expect(after.receipts.at(-1)).toMatchObject({
    state: ReceiptState.ACCEPTED,
    supersededBy: again.generation + 1n,
  });
});
