import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Behaviour } from "./proxy.ts";
import type { Room } from "./room.ts";
import { spooledNext } from "./spooled.ts";
import { until } from "./until.ts";

/** One thing that happens to a room. Seats are numbered from 0. Times are milliseconds. */
export type Fault =
  | { readonly kind: "kill server" }
  /** Nothing of it passes for `stalledMs` before, so that it holds lines that nobody else has. */
  | { readonly kind: "kill worker"; readonly seat: number; readonly stalledMs: number }
  /** SIGSTOP, and SIGCONT after that time. */
  | { readonly kind: "stop server"; readonly forMs: number }
  | { readonly kind: "stop worker"; readonly seat: number; readonly forMs: number }
  /** The network between the server and a worker, all workers, or all readers. */
  | {
      readonly kind: "network";
      readonly seat: number | "all" | "readers";
      readonly behaviour: Behaviour;
      readonly forMs: number;
    }
  /** Somebody's wall clock jumps to so much ahead of the true time. */
  | { readonly kind: "server clock"; readonly aheadMs: number }
  | { readonly kind: "worker clock"; readonly seat: number; readonly aheadMs: number };

/** Makes a fault happen to a room. Resolves when it is over, without waiting for what it does to the lines. */
export async function inflict(room: Room, fault: Fault): Promise<void> {
  const seatOf = (index: number) => {
    const seat = room.seats[index];
    if (!seat) throw new Error(`there is no seat ${index}`);
    return seat;
  };
  switch (fault.kind) {
    case "kill server":
      await room.server.kill("SIGKILL");
      return room.startServer();
    case "kill worker": {
      const seat = seatOf(fault.seat);
      const { job } = seat;
      if (fault.stalledMs > 0) {
        await seat.proxy.set({ mode: "stall" });
        await delay(fault.stalledMs);
      }
      job.wasKilled = true;
      await seat.program.kill("SIGKILL");
      job.spooledNext = await spooledNext(room.spoolOf(seat), job.id);
      await seat.proxy.set({ mode: "pass" });
      return room.reseat(seat);
    }
    case "stop server":
      return stop(room.server, fault.forMs);
    case "stop worker":
      return stop(seatOf(fault.seat).program, fault.forMs);
    case "network": {
      const { seat } = fault;
      const seats = seat === "readers" ? [] : seat === "all" ? room.seats : [seatOf(seat)];
      const proxies = seat === "readers" ? [room.outside] : seats.map(({ proxy }) => proxy);
      await Promise.all(proxies.map((proxy) => proxy.set(fault.behaviour)));
      await delay(fault.forMs);
      await Promise.all(proxies.map((proxy) => proxy.set({ mode: "pass" })));
      return;
    }
    case "server clock": {
      await writeFile(room.clockFile, String(fault.aheadMs));
      const toleranceMs = 60_000;
      await until(
        "the server's clock jumps",
        async () => Math.abs((await room.serverAheadMs()) - fault.aheadMs) < toleranceMs,
      );
      return;
    }
    case "worker clock":
      return writeFile(seatOf(fault.seat).clockFile, String(fault.aheadMs));
  }
}

async function stop(program: Room["server"], forMs: number): Promise<void> {
  await program.kill("SIGSTOP");
  await delay(forMs);
  await program.kill("SIGCONT");
}

/** For people. */
export function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case "kill server":
      return "the server is killed";
    case "kill worker":
      return `worker ${fault.seat + 1} is killed${fault.stalledMs > 0 ? ` with the lines of ${fault.stalledMs / 1000} s` : ""}`;
    case "stop server":
      return `the server stands still for ${fault.forMs / 1000} s`;
    case "stop worker":
      return `worker ${fault.seat + 1} stands still for ${fault.forMs / 1000} s`;
    case "network": {
      const { mode } = fault.behaviour;
      const what =
        mode === "one-way" ? `loses what goes ${fault.behaviour.lost.replace("-", " the ")}` : `does '${mode}'`;
      const whose =
        typeof fault.seat === "number"
          ? `worker ${fault.seat + 1}`
          : fault.seat === "all"
            ? "all workers"
            : "all readers";
      return `the network of ${whose} ${what} for ${fault.forMs / 1000} s`;
    }
    case "server clock":
      return `the server's clock jumps to ${fault.aheadMs / 1000} s ahead`;
    case "worker clock":
      return `the clock of worker ${fault.seat + 1} jumps to ${fault.aheadMs / 1000} s ahead`;
  }
}
