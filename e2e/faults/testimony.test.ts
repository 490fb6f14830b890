import { expect, test } from "vitest";
import { LineReader, Testimonies } from "./testimony.ts";

const of = { job: "j", attempt: 1 };

test("what was told is kept by attempt: how far was printed and acknowledged, and whether an acknowledgement was taken back", () => {
  const testimonies = new Testimonies();
  testimonies.take({ say: "printing", ...of, from: 1, to: 8 });
  for (const next of [1, 5, 8, 6]) testimonies.take({ say: "acknowledged", ...of, next, late: false });
  testimonies.take({ say: "acknowledged", ...of, next: 11, late: true });
  testimonies.take({ say: "printing", job: "j", attempt: 2, from: 1, to: 3 });
  expect(testimonies.all).toEqual([
    { ...of, printed: 8, acknowledged: 8, late: 11, acknowledgements: 5, takenBack: 1 },
    { job: "j", attempt: 2, printed: 3, acknowledged: 1, late: 0, acknowledgements: 0, takenBack: 0 },
  ]);
});

test("lines are whole however the bytes were cut, and the rest of somebody who was killed is none", () => {
  const reader = new LineReader();
  const take = (text: string) => [...reader.take(Buffer.from(text))];
  expect([take("on"), take("e\ntwo\nth"), take("r"), take("ee\nfo")]).toEqual([[], ["one", "two"], [], ["three"]]);
});
