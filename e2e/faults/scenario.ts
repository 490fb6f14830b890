import { setTimeout as delay } from "node:timers/promises";
import { webClients } from "./clients.ts";
import { describeFault, inflict } from "./fault.ts";
import { Follower } from "./follower.ts";
import { judge, type Following } from "./judge.ts";
import type { Round } from "./plan.ts";
import { Room, type RoomOptions } from "./room.ts";
import { ShownPage } from "./shown-page.ts";
import { until } from "./until.ts";
import type { Verdict } from "./verdict.ts";

/** A room, and what happens to it. */
export interface Scenario extends RoomOptions {
  /** Lines a second of each worker's job. */
  readonly rates: readonly number[];
  readonly rounds: readonly Round[];
  /** One more job prints plain text at this rate, and its page is open. */
  readonly pagePerSecond?: number;
  /** How long to wait for what a round did to be made good, milliseconds. */
  readonly healsWithinMs?: number;
  /** Readers come when so many lines were printed. Default: at once. */
  readonly readersComeAfterLines?: number;
  readonly say: (text: string) => void;
}

/** What came of it. */
export interface Outcome {
  readonly verdicts: readonly Verdict[];
  readonly seconds: number;
  readonly lines: number;
  /** How often the streams of readers broke. */
  readonly breaks: number;
}

/** Plays a scenario and judges what is left of the lines. Rejects if something does not come back by itself. */
export async function play(scenario: Scenario): Promise<Outcome> {
  const { rates, rounds, pagePerSecond, healsWithinMs = 60_000, readersComeAfterLines = 0, say } = scenario;
  const startedAt = performance.now();
  const room = await Room.open(scenario);
  const clients = webClients(room.outside.port, room.tokenFile);
  const followings: Following[] = [];
  let page: { job: Room["jobs"][number]; shown: ShownPage } | undefined;
  const follow = () => {
    for (const job of room.jobs.filter((job) => !followings.some((known) => known.job === job))) {
      const allowSkip = followings.length % 2 === 1;
      followings.push({ job, follower: new Follower(clients, job.id, job.content, { allowSkip }) });
    }
  };
  try {
    for (const perSecond of rates) await room.addSeat({ perSecond });
    if (pagePerSecond !== undefined) {
      const { job } = await room.addSeat({ perSecond: pagePerSecond, plain: true });
      page = { job, shown: await ShownPage.open(room, job) };
    }
    await until("so much is printed", async () => (await linesOf(room)) >= readersComeAfterLines);
    follow();
    await room.progress(healsWithinMs);
    for (const [i, { afterMs, faults }] of rounds.entries()) {
      await delay(afterMs);
      say(`${i + 1} of ${rounds.length}: ${faults.map(describeFault).join("; ")}`);
      await Promise.all(faults.map((fault) => inflict(room, fault)));
      follow();
      await room.progress(healsWithinMs);
    }
    await room.endJobs();
    say("all jobs have ended; reading what is stored");
    const verdicts = await judge(room, followings, page);
    const breaks = followings.reduce((sum, { follower }) => sum + follower.breaks, 0);
    const lines = await linesOf(room);
    return { verdicts, breaks, lines, seconds: (performance.now() - startedAt) / 1000 };
  } catch (error) {
    for (const { name, output } of room.outputs()) say(`${name} printed last:\n${output.slice(-2000)}`);
    say(`the oracle was told: ${JSON.stringify([...(await room.told()).values()])}`);
    throw error;
  } finally {
    await Promise.all(followings.map(({ follower }) => follower.close()));
    await page?.shown.close();
    await room.close();
  }
}

/** How many lines were printed, all jobs together. */
async function linesOf(room: Room): Promise<number> {
  return [...(await room.told()).values()].reduce((sum, { printed }) => sum + printed - 1, 0);
}
