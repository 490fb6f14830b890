import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Typing } from "./keys.ts";

const take = (typing: Typing, text: string) => [...typing.take(text)];

describe("typing", () => {
  test("makes keys of letters, and nothing of arrows and of letters that mean nothing", () => {
    expect(take(new Typing(), "p\u001b[Ax\u001b[1;5C\u001bOP+=-lq\u0003?")).toEqual(
      ["pause", "faster", "faster", "slower", "level", "detach", "interrupt", "help"].map((key) => ({
        kind: "key",
        key,
      })),
    );
  });

  test("of a line goes on over pieces, and takes characters back whole", () => {
    const typing = new Typing();
    expect(take(typing, "ip")).toEqual([
      { kind: "typing", text: "" },
      { kind: "typing", text: "p" },
    ]);
    expect(take(typing, "é🚂\u007f").at(-1)).toEqual({ kind: "typing", text: "pé" });
    expect(take(typing, "\u001b[D\rp")).toEqual([
      { kind: "line", text: "pé" },
      { kind: "key", key: "pause" },
    ]);
  });

  test("of a line is given up with Esc and Ctrl+C, and Ctrl+D in an empty one ends the input", () => {
    const typing = new Typing();
    expect(take(typing, "ia\u0003").at(-1)).toEqual({ kind: "typing", text: undefined });
    expect(take(typing, "ia\u001b").at(-1)).toEqual({ kind: "typing", text: undefined });
    expect(take(typing, "ia\u0004").at(-1)).toEqual({ kind: "typing", text: "a" });
    expect(take(typing, "\u007f\u0004")).toEqual([{ kind: "typing", text: "" }, { kind: "eof" }]);
    expect(take(typing, "q")).toEqual([{ kind: "key", key: "detach" }]);
  });

  test("of a line goes on where it was after Ctrl+Z", () => {
    const typing = new Typing();
    expect(take(typing, "\u001aia\u001ab").filter(({ kind }) => kind === "key")).toEqual([
      { kind: "key", key: "suspend" },
      { kind: "key", key: "suspend" },
    ]);
    expect(take(typing, "\r")).toEqual([{ kind: "line", text: "ab" }]);
  });

  test("of a line that nobody asks for steers nothing, until Enter, a pause, or Ctrl+C", () => {
    const typing = new Typing(() => false);
    const input = { kind: "key", key: "input" };
    expect(take(typing, "ihello, cc\rp")).toEqual([input, { kind: "key", key: "pause" }]);
    expect(take(typing, "ip\u0003")).toEqual([input, { kind: "key", key: "interrupt" }]);
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    expect(take(new Typing(() => false), "ip")).toEqual([input]);
    take(typing, "\u001bi");
    vi.advanceTimersByTime(1_000);
    expect(take(typing, "p")).toEqual([{ kind: "key", key: "pause" }]);
  });

  test("of a line has an end", () => {
    expect(take(new Typing(), `i${"x".repeat(5_000)}`).at(-1)).toEqual({ kind: "typing", text: "x".repeat(4_096) });
  });
});
