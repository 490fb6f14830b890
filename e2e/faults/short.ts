import { tally } from "../../scripts/tally.ts";
import { Dice, planKills, planNetwork, type Round } from "./plan.ts";
import { plants, type Plant } from "./plants.ts";
import { play, type Outcome } from "./scenario.ts";
import { describeVerdict } from "./verdict.ts";

const kills = { servers: 8, workers: 4 };

/**
 * The short form, for `npm test`: one room through faults of the network and kills, and three rooms with a planted fault that must be
 * noticed. Counts each as a test. Resolves with whether all passed.
 */
export async function playShort(seed: number, say: (text: string) => void): Promise<boolean> {
  const tests = [
    await test(
      `no line is lost, doubled or shown wrongly by ${kills.servers} kills of the server and ${kills.workers} of workers, lost acknowledgements, a stall and a half-open connection`,
      () => soundRoom(seed, say),
      say,
    ),
    // These wait more than they work.
    ...(await Promise.all(
      plants.map((plant) =>
        test(`the oracle notices a server that would ${plant.name}`, () => plantedRoom(plant, seed, say), say),
      ),
    )),
  ];
  return tests.every(Boolean);
}

/** Runs one test: it passes if it finds nothing to complain of. */
async function test(
  name: string,
  complaints: () => Promise<readonly string[]>,
  say: (text: string) => void,
): Promise<boolean> {
  const found = await complaints().catch((error: unknown) => [
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  ]);
  for (const complaint of found) say(`    ${complaint}`);
  const outcome = found.length === 0 ? "passed" : "failed";
  say(`${outcome}: ${name}`);
  tally([{ name: `faults > ${name}`, outcome }]);
  return outcome === "passed";
}

async function soundRoom(seed: number, say: (text: string) => void): Promise<readonly string[]> {
  const dice = new Dice(seed);
  const outcome = await play({
    seed,
    rates: [1000, 1000, 1000],
    pagePerSecond: 50,
    rounds: [...planNetwork(dice), ...planKills(dice, { ...kills, seats: 3 })],
    say,
  });
  say(describeOutcome(outcome));
  return outcome.verdicts.flatMap(({ broken }) => broken);
}

async function plantedRoom(plant: Plant, seed: number, say: (text: string) => void): Promise<readonly string[]> {
  const kill: Round = { afterMs: 500, faults: [{ kind: "kill server" }] };
  const slow: Round = {
    afterMs: 0,
    faults: [
      { kind: "network", seat: "readers", behaviour: { mode: "throttle", bytesPerSecond: 200_000 }, forMs: 2000 },
    ],
  };
  const { verdicts } = await play(
    plant.noticedBy === "readers that follow"
      ? { seed, plant, rates: [5000], readersComeAfterLines: 20_000, rounds: [slow], say: () => undefined }
      : { seed, plant, rates: [500], rounds: [kill], say: () => undefined },
  );
  const verdict = verdicts.find(({ reader }) => reader === plant.noticedBy);
  if (!verdict || verdict.broken.length === 0) return [`${plant.noticedBy}: nothing was noticed`];
  say(`    with the planted fault '${plant.name}': ${verdict.broken[0] ?? ""}`);
  return [];
}

function describeOutcome({ lines, seconds, breaks, verdicts }: Outcome): string {
  return [
    `${lines.toLocaleString("en")} lines in ${seconds.toFixed(0)} s; streams of readers broke ${breaks} times`,
    ...verdicts.map(describeVerdict),
  ].join("\n");
}
