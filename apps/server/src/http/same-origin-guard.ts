import type { IncomingHttpHeaders } from "node:http";

/**
 * Tells whether a request may come from this server's own page or from a program. Browsers say where a request comes from; other
 * ports of `localhost` are another origin, although they share cookies. A program sends neither header.
 */
export function isSameOrigin(headers: IncomingHttpHeaders): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") return false;
  const { origin } = headers;
  if (origin === undefined) return true;
  // `Origin: null` is a sandboxed frame, a file or a redirect: not this page.
  return URL.canParse(origin) && new URL(origin).host === headers.host?.toLowerCase();
}
