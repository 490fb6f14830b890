import { existsSync } from "node:fs";

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/**
 * Path of a Chromium that is installed on this machine, or undefined if there is none; then Playwright's own download is used.
 * CHROMIUM_PATH overrules the search.
 */
export function chromiumPath(): string | undefined {
  return process.env["CHROMIUM_PATH"] ?? places.find((place) => existsSync(place));
}
