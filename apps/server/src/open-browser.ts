import open from "open";
import type { Logger } from "./logger.ts";

/** Whether somebody sits in front of this machine's own desktop and looks at this terminal. */
export function hasDesktop(
  env: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform,
  isTerminal: boolean,
): boolean {
  if (!isTerminal || env.CI || env.SSH_CONNECTION || env.SSH_TTY) return false;
  return platform === "darwin" || platform === "win32" || Boolean(env.DISPLAY || env.WAYLAND_DISPLAY);
}

/** Opens a link in the browser. That it does not work is no failure: the link is on the screen too. */
export async function openBrowser(link: string, logger: Logger): Promise<void> {
  const report = (error: unknown) => logger.debug({ err: error }, "no browser could be opened");
  try {
    const opener = await open(link);
    opener.on("error", report);
  } catch (error) {
    report(error);
  }
}
