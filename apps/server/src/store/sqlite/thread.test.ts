import { describe, expect, onTestFinished, test } from "vitest";
import { errorOf } from "../conformance/store-under-test.ts";
import type { EchoCalls } from "./echo-thread.ts";
import { CallFailed, Thread } from "./thread.ts";

function start() {
  const deaths: Error[] = [];
  const remarks: string[] = [];
  const thread = new Thread<EchoCalls>(new URL("./echo-thread.ts", import.meta.url), "echo", {
    died: (error) => deaths.push(error),
    remark: (text) => remarks.push(text),
  });
  onTestFinished(() => thread.end(new Error("the test is over")));
  return { thread, deaths, remarks };
}

describe("a thread", () => {
  test("answers calls in their order, and says what it has to say", async () => {
    const { thread, remarks } = start();
    const answers = await Promise.all([
      thread.call("double", [1]),
      thread.call("say", ["hm"]),
      thread.call("double", [3]),
    ]);
    expect(answers).toEqual([2, undefined, 6]);
    expect(remarks).toEqual(["hm"]);
  });

  test("an error of a call is that call's alone", async () => {
    const { thread, deaths } = start();
    const error = await errorOf(thread.call("refuse", []));
    expect(error).toBeInstanceOf(CallFailed);
    expect(error).toMatchObject({ message: "no", errcode: 13 });
    expect(await thread.call("double", [4])).toBe(8);
    expect(deaths).toEqual([]);
  });

  test.for([
    ["breakDown", "broken"],
    ["exit", "ended with code 3"],
  ] as const)(
    "when it ends by itself (%s), calls under way and later ones reject and its owner hears of it once",
    async ([method, message]) => {
      const { thread, deaths } = start();
      const underWay = [thread.call(method, []), thread.call("double", [1])].map(errorOf);
      for (const error of await Promise.all(underWay)) expect(error.message).toContain(message);
      expect((await errorOf(thread.call("double", [2]))).message).toContain(message);
      await thread.end(new Error("late"));
      expect(deaths.map((error) => error.message)).toEqual([expect.stringContaining(message)]);
    },
  );

  test("when it is ended, calls under way reject and nobody is told that it died", async () => {
    const { thread, deaths } = start();
    const underWay = errorOf(thread.call("double", [1]));
    await thread.end(new Error("enough"));
    expect((await underWay).message).toBe("enough");
    expect(deaths).toEqual([]);
  });
});
