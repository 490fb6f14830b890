import { describe, expect, test } from "vitest";
import { lineSpans, lineText, rawSpans, rawText } from "./line-text.ts";
import { contrast } from "../ui/contrast.ts";
import { readable } from "./terminal-color.ts";

const utf8 = new TextEncoder();
const shown = (text: string) => lineText(utf8.encode(text));
const looks = (text: string) =>
  lineSpans(utf8.encode(text)).map(({ text, look }) => [
    text,
    look?.classes ?? "",
    look?.color ?? "",
    look?.background ?? "",
  ]);

describe("the text of a line", () => {
  test("loses its line end, whatever that is", () => {
    expect(["a\n", "a\r\n", "a\r", "a\r\r\n", "a"].map(shown)).toEqual(["a", "a", "a", "a", "a"]);
    expect(shown("\n")).toBe("");
  });
  test("can be shown and copied as it was written, too", () => {
    const bytes = utf8.encode("10 %\r\u001b[32m20 %\u001b[0m\b\r\n");
    expect(lineText(bytes)).toBe("20 %");
    expect(rawSpans(bytes).map(({ text, look }) => [text, look?.color ?? ""])).toContainEqual([
      "20 %",
      "var(--ansi-green)",
    ]);
    expect(
      rawSpans(bytes)
        .map(({ text }) => text)
        .join(""),
    ).toBe("10 %␍20 %␈");
    expect(rawText(bytes)).toBe("10 %\r\u001b[32m20 %\u001b[0m\b");
  });
  test("keeps tabs and letters of all scripts", () => {
    expect(shown("\tγειά 👋🏽 e\u0301\n")).toBe("\tγειά 👋🏽 e\u0301");
  });
  test("shows invalid UTF-8 as replacement, and a byte order mark is not eaten", () => {
    expect(lineText(new Uint8Array([0x61, 0xff, 0x62, 0xc3, 0x0a]))).toBe("a\ufffdb\ufffd");
    expect(lineText(new Uint8Array([0xef, 0xbb, 0xbf, 0x61]))).toBe("\ufeffa");
  });
  test("joins a character that was split between pieces", () => {
    expect(lineText(new Uint8Array([...utf8.encode("é").slice(0, 1), ...utf8.encode("é").slice(1)]))).toBe("é");
  });
  test("makes control characters visible, and those that turn the reading direction", () => {
    expect(shown("a\u0000b\u0007c\u007fd\u0085e\u202ef")).toBe("a␀b␇c␡d\\x85e\\u202ef");
    expect(lineSpans(utf8.encode("a\u0000"))[1]?.look?.classes).toBe("control");
  });
  test("is never taken for markup: spans are text", () => {
    expect(shown("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
  });
});

describe("progress lines as a terminal leaves them", () => {
  test("a carriage return starts over, and what is longer shines through", () => {
    expect(shown("10 %\r20 %\r100 %\n")).toBe("100 %");
    expect(shown("downloading\rdone\n")).toBe("doneloading");
  });
  test("erasing clears the rest", () => {
    expect(shown("downloading\rdone\u001b[K\n")).toBe("done");
  });
  test("backspaces go back, not beyond the start", () => {
    expect(shown("|\b/\b-\b\\")).toBe("\\");
    expect(shown("\b\bab\bc")).toBe("ac");
  });
});

describe("colours", () => {
  test("the sixteen are ours, with reset, bold and the empty list", () => {
    expect(looks("\u001b[31mred\u001b[0m plain \u001b[1;94mblue\u001b[m end")).toEqual([
      ["red", "", "var(--ansi-red)", ""],
      [" plain ", "", "", ""],
      ["blue", "bold", "var(--ansi-bright-blue)", ""],
      [" end", "", "", ""],
    ]);
  });
  test("256 and true colours keep their hue and can be read in both themes", () => {
    expect(looks("\u001b[38;5;9mx\u001b[38;5;21my\u001b[38;2;255;255;0mz\u001b[38:2:0:0:0mq")).toEqual([
      ["x", "", "var(--ansi-bright-red)", ""],
      ["y", "", expect.stringMatching(/^light-dark\(rgb\(0 0 255\), rgb\(\d+ \d+ 255\)\)$/), ""],
      ["z", "", expect.stringMatching(/^light-dark\(rgb\(\d+ \d+ 0\), rgb\(255 255 0\)\)$/), ""],
      ["q", "", expect.stringMatching(/^light-dark\(rgb\(0 0 0\), /), ""],
    ]);
  });
  test("a shifted colour reaches 4.5 on its surface", () => {
    for (const color of [
      [0, 0, 255],
      [255, 255, 0],
      [128, 128, 128],
      [11, 14, 13],
    ] as const) {
      expect(contrast(readable(color, [11, 14, 13], [255, 255, 255]), [11, 14, 13])).toBeGreaterThanOrEqual(4.5);
      expect(contrast(readable(color, [255, 255, 255], [0, 0, 0]), [255, 255, 255])).toBeGreaterThanOrEqual(4.5);
    }
  });
  test("a background is drawn solid", () => {
    expect(looks("\u001b[30;41mx\u001b[0;7my")).toEqual([
      ["x", "", "", "var(--ansi-red)"],
      ["y", "", "", "var(--fg2)"],
    ]);
  });
});

describe("escape sequences", () => {
  test("those without use in a line of text vanish; text behind them stays", () => {
    expect(shown("a\u001b[2Kb\u001b[1;1Hc\u001b]0;title\u0007d\u001b]8;;http://x\u001b\\e\u001b(Bf\u001b=m")).toBe(
      "abcdefm",
    );
  });
  test("a broken one is shown", () => {
    expect(shown("a\u001b[31")).toBe("a␛[31");
    expect(shown("\u001b]0;never ends")).toBe("␛]0;never ends");
    expect(shown("end\u001b")).toBe("end␛");
  });
  test("many broken ones take linear time", () => {
    const text = "\u001b]".repeat(30_000);
    const startMs = performance.now();
    expect(shown(text)).toHaveLength(text.length);
    expect(performance.now() - startMs).toBeLessThan(1000);
  });
});
