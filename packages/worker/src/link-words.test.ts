import { describe, expect, test } from "vitest";
import type { LinkState } from "./link-state.ts";
import { LinkWords } from "./link-words.ts";

function listener() {
  const said: string[] = [];
  const words = new LinkWords("http://one or http://two", (sentence) => said.push(sentence));
  const away = (nowMs: number, reason: string, { address = "one:9090", delayMs = 1500 } = {}) =>
    words.state({ kind: "backing-off", failures: 1, delayMs, reason }, address, nowMs);
  const open = (nowMs: number) => words.state({ kind: "open", failures: 0, sinceMs: nowMs }, "one:9090", nowMs);
  const connecting: LinkState = { kind: "connecting", failures: 1 };
  return { said, away, open, connecting: (nowMs: number) => words.state(connecting, "one:9090", nowMs) };
}

describe("what is said of the link", () => {
  test("is nothing while all is well, and two sentences for a loss however often it is tried meanwhile", () => {
    const { said, away, open, connecting } = listener();
    open(0);
    for (let at = 100_000; at < 150_000; at += 2000) {
      away(at, "the connection broke");
      connecting(at + 1500);
    }
    open(152_300);
    expect(said).toEqual([
      "the link to one:9090 is lost: the connection broke; the next try is in 1.5 s, and lines wait here",
      "the link to one:9090 is open after 52 s",
    ]);
  });

  test("names all addresses while none was ever reached", () => {
    const { said, away } = listener();
    away(5, "nobody there", { address: "", delayMs: 50 });
    expect(said).toEqual([
      "no link to http://one or http://two: nobody there; the next try is at once, and lines wait here",
    ]);
  });

  test("is little when the link breaks again and again, and how often is told later", () => {
    const { said, away, open } = listener();
    for (let at = 0; at < 12_000; at += 1000) {
      away(at, "reset");
      open(at + 100);
    }
    expect(said).toEqual([
      expect.stringMatching(/is lost: reset; .*wait here$/),
      "the link to one:9090 is open after 0.1 s",
      expect.stringMatching(/is lost: reset; .*\(it broke 9 more times since that was said last\)$/),
      "the link to one:9090 is open after 0.1 s",
    ]);
  });

  test("comes late, but comes, when a link that broke a moment before stays away", () => {
    const { said, away, open } = listener();
    away(0, "reset");
    open(100);
    for (let at = 1000; at <= 20_000; at += 1000) away(at, "refused");
    expect(said[2]).toContain("is lost: refused");
    open(21_000);
    expect(said[3]).toBe("the link to one:9090 is open after 20 s");
  });

  test("has the new reason when it is another one a minute later", () => {
    const { said, away } = listener();
    for (let at = 0; at <= 200_000; at += 5000) away(at, at < 30_000 ? "refused" : "the token is wrong");
    expect(said).toHaveLength(2);
    expect(said[1]).toContain("the token is wrong");
  });
});
