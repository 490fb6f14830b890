import { existsSync } from "node:fs";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance, FastifyReply } from "fastify";

/**
 * Serves the built dashboard in `folder`. `/`, `/jobs` and below, `/workers` and `/audit` are its pages and get `index.html`, which needs no
 * login because the login page is in it. Other unknown paths are not found.
 */
export function dashboard(app: FastifyInstance, folder: string): void {
  const pages = ["/", "/jobs", "/jobs/*", "/workers", "/audit"];
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
