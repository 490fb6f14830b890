import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright";
import { chromiumPath } from "./chromium.ts";
import { indexedPng } from "./indexed-png.ts";
import { freePorts, runProgram } from "./programs.ts";

// `node scripts/screenshot.ts [dark|light] [file]`: the picture of the README, docs/job.png, of the index job of a fresh server. Build the
// page before: `pnpm run build`.

const [theme = "dark", file = "docs/job.png"] = process.argv.slice(2);

const data = await mkdtemp(join(tmpdir(), "signalbox-picture-"));
const [port = 0, workerPort = 0] = await freePorts(2);
const server = runProgram("apps/server/src/main.ts", {
  SIGNALBOX_DATA: data,
  SIGNALBOX_PORT: String(port),
  SIGNALBOX_WORKER_PORT: String(workerPort),
  SIGNALBOX_OPEN: "off",
});
const executablePath = chromiumPath();
const browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] });
try {
  await server.printed(/#code=\S+/);
  const page = await browser.newPage({
    viewport: { width: 1440, height: 900 },
    colorScheme: theme === "light" ? "light" : "dark",
  });
  await page.goto(await link());
  await takeJob(page);
  const png = await small(await page.screenshot());
  await writeFile(file, png);
  console.log(`${file}: ${theme}, ${png.length.toLocaleString("en")} bytes`);
} finally {
  await browser.close();
  await server.kill("SIGTERM");
  await rm(data, { recursive: true });
}

/** The same picture with a palette: a page of its own decodes it. */
async function small(png: Buffer): Promise<Buffer> {
  const page = await browser.newPage();
  const { base64, width, height } = await page.evaluate(
    async (source) => {
      const picture = await createImageBitmap(await (await fetch(source)).blob());
      const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
      canvas?.drawImage(picture, 0, 0);
      const pixels = new Blob([canvas?.getImageData(0, 0, picture.width, picture.height).data ?? ""]);
      const url = await new Promise<string>((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result as string);
        reader.readAsDataURL(pixels);
      });
      return { base64: url.slice(url.indexOf(",") + 1), width: picture.width, height: picture.height };
    },
    `data:image/png;base64,${png.toString("base64")}`,
  );
  return indexedPng(Buffer.from(base64, "base64"), width, height);
}

async function link(): Promise<string> {
  const token = (await readFile(join(data, "token"), "utf8")).trim();
  const response = await fetch(`http://localhost:${port}/auth/link`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  return ((await response.json()) as { url: string }).url;
}

/** Opens the first job, pauses it, lets it go on more slowly, and waits until what is measured is the new speed. */
async function takeJob(page: Page): Promise<void> {
  await page
    .getByRole("link", { name: /First job/ })
    .first()
    .click();
  const log = page.getByRole("log");
  const levers = page.getByRole("toolbar", { name: "Levers" });
  // Files whose names say something.
  await log
    .getByText(/folder apps\/server\/src/)
    .first()
    .waitFor({ timeout: 60_000 });
  await levers.getByRole("button", { name: "Pause" }).click();
  await levers.getByRole("button", { name: "Resume" }).waitFor();
  for (let i = 0; i < 5; i++) await levers.getByRole("button", { name: "Slower" }).click();
  await page.waitForTimeout(600);
  await levers.getByRole("button", { name: "Resume" }).click();
  // Off the buttons, and long enough for the measured rate and the time to the end.
  await page.mouse.move(0, 899);
  await page.waitForTimeout(4_300);
}
