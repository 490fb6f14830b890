import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { LineReader, type Testimony, type Told } from "./testimony.ts";

/** A worker's or the runner's line to the oracle. */
export class OracleClient {
  readonly #socket: Socket;
  readonly #answers: ((told: readonly Told[]) => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    const reader = new LineReader();
    socket.on("data", (bytes) => {
      for (const line of reader.take(bytes)) this.#answers.shift()?.(JSON.parse(line) as Told[]);
    });
  }

  static async open(path: string): Promise<OracleClient> {
    const socket = connect(path);
    await once(socket, "connect");
    return new OracleClient(socket);
  }

  /** Tells; resolves when the words have left this process, so that no kill takes them back. Rejects if the oracle is gone. */
  tell(said: Testimony): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#socket.write(`${JSON.stringify(said)}\n`, (error) => (error ? reject(error) : resolve())),
    );
  }

  /** All that was told so far. */
  told(): Promise<readonly Told[]> {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.#socket.write("?\n");
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
