import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { GetJobResponseSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { untakenWords } from "./taken-input.ts";

const sent = { jobId: "j-1", attempt: 2, offset: 30n, sent: 12 };
const attempts = [{ number: 1, endedAtUs: 5n }, { number: 2 }];

/** What is said where the server answers so, one after the other, and the last of them from then on. */
async function said(...answers: MessageInitShape<typeof GetJobResponseSchema>[]): Promise<string> {
  let asked = 0;
  const getJob = () => Promise.resolve(create(GetJobResponseSchema, answers[Math.min(asked++, answers.length - 1)]));
  const words = await untakenWords({ jobs: { getJob } }, sent, new AbortController().signal);
  return words.replaceAll("\u00a0", " ");
}
const taken = (inputTaken: bigint, attempt = 2) => ({ job: { id: "j-1", attempts }, vitals: { attempt, inputTaken } });

test("what a job takes in a moment is sent, and nothing more is said", async () => {
  expect(await said(taken(18n), taken(20n), taken(30n))).toBe("");
  // Of an attempt that is over and followed by another one nothing is known any more.
  expect(await said(taken(0n, 3))).toBe("");
});

test("what a job leaves lying is said with how much of it", async () => {
  expect(await said(taken(20n))).toBe("the job has not taken 10 B of it yet");
  // What others sent before is none of ours.
  expect(await said(taken(0n))).toBe("the job has not taken 12 B of it yet");
});

test("what an attempt had not taken when it ended is said to be so", async () => {
  const ended = { ...taken(20n), job: { id: "j-1", attempts: [{ number: 2, endedAtUs: 5n }] } };
  expect(await said(taken(20n), ended)).toBe("the attempt ended before it had taken 10 B of it");
});

test("a server that does not answer leaves it at what is known: it was sent", async () => {
  const getJob = () => Promise.reject(new Error("away"));
  expect(await untakenWords({ jobs: { getJob } }, sent, new AbortController().signal)).toBe("");
});
