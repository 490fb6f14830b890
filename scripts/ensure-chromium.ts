import { existsSync } from "node:fs";
import { chromium } from "playwright";
import { chromiumPath } from "./chromium.ts";
import { run } from "./run.ts";

/**
 * Makes sure that the browser tests have a Chromium: one that is installed, else Debian's package where apt works, else Playwright's
 * own download. Returns whether there is one now, and says exactly what to do if not.
 */
export async function ensureChromium(): Promise<boolean> {
  if (chromiumPath() ?? existsSync(chromium.executablePath())) return true;
  if (existsSync("/usr/bin/apt-get")) {
    const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
    console.log("No Chromium is installed: installing Debian's package `chromium`.");
    const apt = (...args: string[]) =>
      run(sudo[0] ?? "apt-get", [...sudo.slice(1), ...(sudo.length > 0 ? ["apt-get"] : []), ...args], {
        DEBIAN_FRONTEND: "noninteractive",
      });
    if ((await apt("update", "-qq")).ok && (await apt("install", "-y", "-qq", "chromium")).ok && chromiumPath())
      return true;
  }
  console.log("No Chromium is installed: trying Playwright's own download.");
  if ((await run("playwright", ["install", "chromium"])).ok) return true;
  console.error(
    [
      "The browser tests need Chromium, and it could not be installed. One of these will do:",
      "  - install it yourself: `sudo apt-get install chromium` (Debian), `brew install --cask chromium` (macOS);",
      "  - or name an installed one: CHROMIUM_PATH=/path/to/chromium npm test",
    ].join("\n"),
  );
  return false;
}
