import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { addRawMessages, JobRecordsSchema, WatchResponseSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { encodeWatch } from "./plain-watch.ts";

const decoded = (pieces: readonly Uint8Array[]) => fromBinary(WatchResponseSchema, Buffer.concat(pieces));

test.for<MessageInitShape<typeof WatchResponseSchema>>([
  {},
  { message: { case: "heartbeat", value: { serverTimeUs: 5n } } },
  { subscriptionId: "jobs", message: { case: "caughtUp", value: {} } },
  { subscriptionId: "log", cursor: new Uint8Array(40), message: { case: "log", value: { attempt: 2, endLine: 9n } } },
])("the pieces of a response make it up: %s", (init) => {
  const response = create(WatchResponseSchema, init);
  expect(decoded(encodeWatch(response))).toEqual(decoded([toBinary(WatchResponseSchema, response)]));
});

test("responses that tell the same share its bytes, and each has its own subscription and cursor", () => {
  const value = create(JobRecordsSchema, { gone: ["j-1"] });
  addRawMessages(value, 1, [Buffer.alloc(0)]);
  const [one, other] = ["one", "other"].map((subscriptionId, i) =>
    encodeWatch(
      create(WatchResponseSchema, {
        subscriptionId,
        cursor: Uint8Array.of(i),
        message: { case: "records", value },
      }),
    ),
  );
  expect(one?.at(-1)).toBe(other?.at(-1));
  expect(decoded(one ?? []).subscriptionId).toBe("one");
  expect(decoded(other ?? [])).toMatchObject({ subscriptionId: "other", cursor: Buffer.of(1) });
  expect(decoded(other ?? []).message).toMatchObject({ case: "records", value: { gone: ["j-1"] } });
});
