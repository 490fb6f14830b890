import { join } from "node:path";
import { readKeyFile } from "./auth/key-file.ts";
import { startCommand } from "./commands.ts";
import { readDataFolder } from "./config.ts";
import { readServerFile } from "./server-file.ts";

/** There is no link to be had. The message says why and what to do. */
export class NoLink extends Error {
  override readonly name = "NoLink";
}

/** Asks the running server for a link that signs a browser in, once, within 15 minutes. Throws NoLink. */
export async function askForLink(dataFolder: string): Promise<string> {
  const notRunning = `No Signalbox server runs with the data folder ${dataFolder}. Start one with: ${startCommand}`;
  const file = await readServerFile(dataFolder);
  const token = await readKeyFile(join(dataFolder, "token"));
  if (file === undefined || token === undefined) throw new NoLink(notRunning);
  let response;
  try {
    response = await fetch(`${file.operatorUrl}/auth/link`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(5_000),
    });
  } catch (error) {
    if (error instanceof Error && error.name === "TimeoutError") {
      throw new NoLink(`The Signalbox server (process ${file.pid}) does not answer.`, { cause: error });
    }
    throw new NoLink(notRunning, { cause: error });
  }
  if (!response.ok) {
    throw new NoLink(`The Signalbox server at ${file.operatorUrl} refused with HTTP status ${response.status}.`);
  }
  const { url } = (await response.json()) as { url: string };
  return url;
}

if (import.meta.main) {
  try {
    process.stdout.write(`${await askForLink(readDataFolder(process.env))}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
