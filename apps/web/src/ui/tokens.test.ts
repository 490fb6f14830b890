import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { contrast, parseHex } from "./contrast.ts";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");
const tokens = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);/g)].map(([, name, light, dark]) => [
    name ?? "",
    { light: light ?? "", dark: dark ?? "" },
  ]),
);

function color(name: string, theme: "light" | "dark") {
  const value = tokens.get(name)?.[theme];
  if (!value) throw new Error(`no token --${name}`);
  return parseHex(value);
}

const themes = ["light", "dark"] as const;
const surfaces = ["well", "bg", "bg1", "bg2", "bg3", "selected", "stop-bg", "wait-bg", "marker-bg"];
const states = ["go", "wait", "stop", "lost", "idle", "done"];
const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const ansi = [...names.map((name) => `ansi-${name}`), ...names.map((name) => `ansi-bright-${name}`)];

test.each(themes)("all text is readable on every surface of the %s theme", (theme) => {
  for (const text of ["fg", "fg2", "fg3", "accent", ...states])
    for (const surface of surfaces)
      expect(contrast(color(text, theme), color(surface, theme)), `${text} on ${surface}`).toBeGreaterThanOrEqual(4.5);
});

test.each(themes)("edges of marks and controls are seen in the %s theme", (theme) => {
  for (const surface of ["well", "bg", "bg1"])
    expect(contrast(color("edge", theme), color(surface, theme)), surface).toBeGreaterThanOrEqual(3);
});

test.each(themes)("the primary button is readable in the %s theme", (theme) => {
  expect(contrast(color("on-key", theme), color("key", theme))).toBeGreaterThanOrEqual(7);
});

test.each(themes)("terminal colours reach 5.4 on the log and on the error tint of the %s theme", (theme) => {
  for (const text of ansi)
    for (const surface of ["well", "stop-bg"])
      expect(contrast(color(text, theme), color(surface, theme)), `${text} on ${surface}`).toBeGreaterThanOrEqual(5.4);
});

test("the sixteen terminal colours are sixteen", () => {
  for (const theme of themes) expect(new Set(ansi.map((name) => tokens.get(name)?.[theme])).size).toBe(16);
});
