import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { InputRefusalSchema, type ClientCommand, type JobEvent, type RunService } from "@signalbox/protocol";
import { connectionKey } from "../http/connection-key.ts";
import type { Refusal } from "../live/console/console-commands.ts";
import type { Consoles } from "../live/console/consoles.ts";
import type { OpenWatches } from "../live/open-watches.ts";
import type { Logger } from "../logger.ts";
import { Refused } from "../refused.ts";
import { actorOf } from "./actor.ts";
import { errorsOf } from "./errors.ts";
import { firstMessage } from "./first-message.ts";

/** What a console follows: records, progress, lines, input. */
const subscriptions = 4;

/** The service for programs that start a job and stay with it. */
export function runService(consoles: Consoles, open: OpenWatches): ServiceImpl<typeof RunService> {
  return {
    runJob: (commands, context) =>
      open.count(
        context.values.get(connectionKey),
        subscriptions,
        runJob(consoles, commands[Symbol.asyncIterator](), context),
        context.signal,
      ),
  };
}

async function* runJob(
  consoles: Consoles,
  incoming: AsyncIterator<ClientCommand>,
  context: HandlerContext,
): AsyncGenerator<JobEvent> {
  const first = await firstMessage(incoming, context.signal);
  if (first?.command.case !== "start") throw new Refused("invalid", "The first command of RunJob is start.");
  yield* consoles.run(first.command.value, first.id, incoming, actorOf(context), context.signal);
}

/** Why a command of a console failed, as its client is told: the same codes and words as where calls fail. */
export function refusalsOf(logger: Logger): (error: unknown) => Refusal {
  const errors = errorsOf(logger, "RunJob");
  const goesOn = new AbortController().signal;
  return (error) => {
    const refusal = errors(error, goesOn);
    const [input] = refusal.findDetails(InputRefusalSchema);
    return { code: refusal.code, reason: refusal.rawMessage, nextOffset: input?.nextOffset };
  };
}
