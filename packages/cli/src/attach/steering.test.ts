import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { JobRecordSchema, ReceiptState, RunMode, type JobEvent } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { Steering } from "./steering.ts";

const job = create(JobRecordSchema, { id: "j-1" });

/** Keys pressed here, with what is said to the person. */
function steered() {
  const notes: string[] = [];
  let said = 0;
  const steering = new Steering({ say: () => String(++said) }, (text) => notes.push(text));
  const answered = (id: string, generation: bigint) =>
    steering.heard({ case: "accepted", value: { $typeName: "signalbox.v1.Accepted", id, generation } });
  const state = (init: MessageInitShape<typeof JobRecordSchema>) =>
    steering.heard({ case: "state", value: create(JobRecordSchema, init) } satisfies JobEvent["event"]);
  return {
    steering,
    notes,
    answered,
    state,
    press: (key: "pause" | "resume") => steering.press(key, { job, vitals: undefined }),
  };
}

const pause = (state: ReceiptState) => ({
  generation: 7n,
  state,
  attempt: 1,
  atLine: 12n,
  acceptedAtUs: 1_000_000n,
  decidedAtUs: 1_038_000n,
  value: { value: { case: "run" as const, value: { mode: RunMode.PAUSE } } },
});

test("what is not answered when the link is lost is said to be in doubt, and what became of it when the link is back", () => {
  const { steering, notes, answered, state, press } = steered();
  press("resume");
  answered("1", 6n);
  press("pause");
  steering.away();
  expect(notes.splice(0)).toEqual([
    "Not known whether it arrived: Pause. It is asked again when the link is back, with one effect.",
  ]);
  state({ spec: { generation: 6n } });
  answered("2", 7n);
  state({ spec: { generation: 7n }, receipts: [pause(ReceiptState.DELIVERED)] });
  state({ spec: { generation: 7n }, receipts: [pause(ReceiptState.APPLIED)] });
  state({ spec: { generation: 7n }, receipts: [pause(ReceiptState.APPLIED)] });
  expect(notes.map((note) => note.replaceAll("\u00a0", " "))).toEqual([
    "Pause: it has arrived.",
    "Pause: paused after 38 ms, at line 12",
  ]);
});

test("a command in doubt that was in effect already is told by its receipt alone, a refused one by its reason", () => {
  const { steering, notes, answered, state, press } = steered();
  press("pause");
  press("resume");
  steering.away();
  notes.splice(0);
  state({ spec: { generation: 7n }, receipts: [pause(ReceiptState.APPLIED)] });
  answered("1", 7n);
  const refused = {
    $typeName: "signalbox.v1.Refused" as const,
    id: "2",
    code: 9,
    reason: "The job has ended.",
    nextOffset: 0n,
  };
  steering.heard({ case: "refused", value: refused });
  expect(notes.map((note) => note.replaceAll("\u00a0", " "))).toEqual([
    "Pause: paused after 38 ms, at line 12",
    "Not resumed: The job has ended.",
  ]);
});

test("nothing is said of a lost link where nothing waits for an answer", () => {
  const { steering, notes, answered, press } = steered();
  press("pause");
  answered("1", 7n);
  steering.away();
  expect(notes).toEqual([]);
});
