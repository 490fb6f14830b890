import type { FastifyInstance } from "fastify";
import { linkCommand, ownCommand } from "../commands.ts";
import type { Logger } from "../logger.ts";
import type { Authenticate } from "./authenticate.ts";
import type { AtTheDoor } from "./caller.ts";
import type { LoginCodes } from "./login-codes.ts";
import type { SessionCookie } from "./session-cookie.ts";
import { stranger } from "./stranger.ts";

/** What signing in and out needs. */
export interface SessionRoutesOptions {
  readonly codes: LoginCodes;
  readonly cookie: SessionCookie;
  /** Cookie or token. */
  readonly authenticate: Authenticate;
  /** Token only. */
  readonly authenticateToken: Authenticate;
  /** The address to open in a browser, without trailing slash. */
  readonly origin: () => string;
  readonly logger: Logger;
  /** Hears who signs in and out, who tries to, and who makes a link. */
  readonly atTheDoor?: AtTheDoor;
}

/**
 * - `POST /auth/session` `{"code": "…"}`: 204 and the cookie, 400 if the body is something else, 401 if the code is wrong, used or
 *   too old, 429 after ten wrong ones in a minute.
 * - `GET /auth/session`: 200 `{"name": "operator", "command": "signalbox"}`, or 401. The command is what people type here to run it.
 * - `DELETE /auth/session`: 204, and the cookie is gone.
 * - `POST /auth/link` with the token as bearer: 200 `{"url": "http://localhost:8080/#code=…"}`, or 401.
 */
export function sessionRoutes(app: FastifyInstance, options: SessionRoutesOptions): void {
  const { codes, cookie, authenticate, authenticateToken, origin, logger, atTheDoor } = options;

  app.post("/auth/session", { bodyLimit: 1024 }, async (request, reply) => {
    const code = codeOf(request.body);
    if (code === undefined) return reply.code(400).send({ error: 'The body must be {"code": "…"}.' });
    const outcome = codes.redeem(code);
    if (outcome === "too many wrong") {
      logger.warn({ address: request.ip }, "too many wrong login codes");
      atTheDoor?.({ words: "too many wrong codes", refused: true, address: request.ip });
      return reply.code(429).header("retry-after", "60").send({ error: "Too many wrong codes: wait a minute." });
    }
    if (outcome === "wrong") {
      logger.warn({ address: request.ip }, "wrong login code");
      atTheDoor?.({ words: "wrong code", refused: true, address: request.ip });
      return reply
        .code(401)
        .send({ error: `This link was used before or is older than 15 minutes. '${linkCommand}' prints a new one.` });
    }
    logger.info({ address: request.ip }, "operator signed in");
    const caller = { kind: "operator", name: "operator", address: request.ip } as const;
    atTheDoor?.({ words: "signed in", refused: false, caller, address: request.ip });
    // TLS ends in front of this server, if there is any; the browser itself says how it came here.
    const secure = request.headers.origin?.startsWith("https://") ?? false;
    return reply.code(204).header("set-cookie", cookie.signIn(secure)).send();
  });

  app.get("/auth/session", async (request, reply) => {
    const caller = authenticate(request.headers, request.ip);
    return caller ? { name: caller.name, command: ownCommand } : reply.code(401).send({ error: "Not signed in." });
  });

  app.delete("/auth/session", async (request, reply) => {
    const caller = authenticate(request.headers, request.ip);
    if (caller) atTheDoor?.({ words: "signed out", refused: false, caller, address: request.ip });
    return reply.code(204).header("set-cookie", cookie.signOut()).send();
  });

  app.post("/auth/link", async (request, reply) => {
    const caller = authenticateToken(request.headers, request.ip);
    if (!caller) {
      const { words, message } = stranger(request.headers.authorization !== undefined, false);
      atTheDoor?.({ words, refused: true, address: request.ip });
      return reply.code(401).header("www-authenticate", "Bearer").send({ error: message });
    }
    atTheDoor?.({ words: "made a link", refused: false, caller, address: request.ip });
    return { url: loginLink(origin(), codes.issue()) };
  });
}

/** The link that signs a browser in. The code is in the fragment, which browsers send to nobody. */
export function loginLink(origin: string, code: string): string {
  return `${origin}/#code=${code}`;
}

/** The code in a body, if there is one that may be asked for. By hand: a schema for it costs every start of the server a tenth. */
function codeOf(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("code" in body)) return undefined;
  const { code } = body;
  return typeof code === "string" && code.length >= 1 && code.length <= 100 ? code : undefined;
}
