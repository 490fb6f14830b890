import { UnsupportedPlatform, type Processes } from "./process-info.ts";
import { linuxProcesses } from "./processes-linux.ts";
import { macosProcesses } from "./processes-macos.ts";

/** The processes of this machine. Throws UnsupportedPlatform. */
export function systemProcesses(platform: string = process.platform): Processes {
  if (platform === "linux") return linuxProcesses;
  if (platform === "darwin") return macosProcesses;
  throw new UnsupportedPlatform(platform === "win32" ? "Windows" : platform);
}
