import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/**
 * Serves the built dashboard in `folder`. `/`, `/jobs`, a job below it, `/workers` and `/audit` are its pages and get `index.html`, which needs
 * no login because the login page is in it. Other paths are not found; see {@link pageOfNowhere}. Its router knows the same ones.
 */
export function dashboard(app: FastifyInstance, folder: string): void {
  const pages = ["/", ...["/jobs", "/jobs/:id", "/workers", "/audit"].flatMap((path) => [path, `${path}/`])];
  if (!existsSync(join(folder, "index.html"))) {
    for (const page of pages) {
      app.get(page, async (_request, reply) => {
        return reply
          .code(503)
          .type("text/plain; charset=utf-8")
          .send("The dashboard is not built. Start Signalbox with: npm start\n");
      });
    }
    return;
  }
  void app.register(fastifyStatic, {
    root: folder,
    index: false,
    dotfiles: "ignore",
    cacheControl: false,
    setHeaders(reply, path) {
      // Vite puts the hash of the content into the names of these.
      const hashed = path.startsWith(join(folder, "assets"));
      const page = path.endsWith(".html");
      reply.header("cache-control", hashed ? "public, max-age=31536000, immutable" : page ? "no-store" : "no-cache");
    },
  });
  const sendPage = (reply: FastifyReply) => reply.sendFile("index.html");
  for (const page of pages) {
    app.get(page, async (_request, reply) => sendPage(reply));
  }
}

/**
 * The page for an address at which there is nothing, which says so: for who asks for a page, as browsers do. Undefined for others, and
 * where the dashboard is not built.
 */
export async function pageOfNowhere(request: FastifyRequest, folder: string): Promise<Buffer | undefined> {
  if (request.method !== "GET" && request.method !== "HEAD") return undefined;
  if (!/\btext\/html\b/i.test(request.headers.accept ?? "")) return undefined;
  return readFile(join(folder, "index.html")).catch(() => undefined);
}
