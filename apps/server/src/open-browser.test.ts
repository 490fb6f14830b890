import { expect, test } from "vitest";
import { hasDesktop } from "./open-browser.ts";

test("a browser is opened for somebody who sits at the machine's own desktop, and for nobody else", () => {
  const desktop = { DISPLAY: ":0" };
  expect(hasDesktop(desktop, "linux", true)).toBe(true);
  expect(hasDesktop({ WAYLAND_DISPLAY: "wayland-0" }, "linux", true)).toBe(true);
  expect(hasDesktop({}, "darwin", true)).toBe(true);
  expect(hasDesktop({}, "linux", true)).toBe(false);
  expect(hasDesktop(desktop, "linux", false)).toBe(false);
  expect(hasDesktop({ ...desktop, CI: "1" }, "linux", true)).toBe(false);
  expect(hasDesktop({ ...desktop, SSH_CONNECTION: "10.0.0.1" }, "linux", true)).toBe(false);
});
