import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { mount } from "svelte";
import App from "./App.svelte";
import { linkCode, Session } from "./auth/session.svelte.ts";
import { watchSession } from "./live/live.svelte.ts";
import "./ui/tokens.css";
import "./ui/base.css";

const session = new Session();
const transport = createGrpcWebTransport({
  baseUrl: location.origin,
  interceptors: [
    watchSession(
      () => session.refuse(),
      (error) => ConnectError.from(error).code === Code.Unauthenticated,
    ),
  ],
});

// A link that is opened in a tab that is here already changes the fragment alone: the page begins anew with it.
window.addEventListener("hashchange", () => {
  if (linkCode() !== undefined) location.reload();
});
try {
  await session.begin();
} catch {
  // The server cannot be reached right now: the page comes up, says so, and comes back by itself.
}
const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");
mount(App, { target, props: { transport, session } });
