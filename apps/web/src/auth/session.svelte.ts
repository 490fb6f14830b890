/** Whether this browser may use the page. Nothing else is shown until it is known. */
export class Session {
  #state = $state.raw<"asking" | "open" | "refused">("asking");
  #name = $state.raw("");
  #command = $state.raw("signalbox");
  #linkTried = $state.raw(false);

  get state(): "asking" | "open" | "refused" {
    return this.#state;
  }

  /** Who is signed in; empty until it is known. */
  get name(): string {
    return this.#name;
  }

  /** The command `signalbox` as it is called where the server runs: in a clone it lies in its folder. */
  get command(): string {
    return this.#command;
  }

  /** Whether the server was asked to redeem a link; it may have been refused. */
  get linkTried(): boolean {
    return this.#linkTried;
  }

  /**
   * Redeems the one-time code in the URL's fragment, if there is one, and asks who is signed in. The code is taken out of the URL in
   * any case: it works once.
   */
  async begin(): Promise<void> {
    const code = linkCode();
    if (code !== undefined) {
      history.replaceState(null, "", location.pathname + location.search);
      const answer = await post("/auth/session", { code });
      this.#linkTried = true;
      // An old link is no harm to somebody who is signed in already, so the session decides, not the code.
      if (answer === 429) throw new Error("too many tries");
    }
    await this.ask();
  }

  /** Asks the server who is signed in. Rejects if it cannot be reached; a refusal is a state. */
  async ask(signal?: AbortSignal): Promise<void> {
    const answer = await fetch("/auth/session", { headers: { accept: "application/json" }, signal: signal ?? null });
    if (answer.status === 401 || answer.status === 403) {
      this.refuse();
      return;
    }
    if (!answer.ok) throw new Error(`/auth/session was answered ${answer.status}`);
    const { name, command } = (await answer.json()) as { name?: unknown; command?: unknown };
    this.#name = typeof name === "string" ? name : "";
    if (typeof command === "string") this.#command = command;
    this.#state = "open";
  }

  /** A call was answered Unauthenticated. */
  refuse(): void {
    this.#state = "refused";
  }
}

/** The one-time code that the URL brings along, if there is one. */
export function linkCode(): string | undefined {
  return /^#code=([A-Za-z0-9_-]+)$/.exec(location.hash)?.[1];
}

async function post(path: string, body: unknown): Promise<number> {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.status;
}
