import type { JobRecord } from "@signalbox/protocol";
import { refusal, valueLever, type LeverContext, type LeverView } from "./lever-view.ts";
import { parameterChanges, parametersOf, valueWords, type ParameterChange } from "./parameters.ts";

/** How the parameters lever stands. */
export interface ParametersView extends LeverView {
  /** What the newest command changes or would have changed, while it is on its way or was refused. */
  readonly changes: readonly ParameterChange[];
}

/** The parameters lever: what the job works on. Any waiting job takes others; a running one if its type says so. */
export function parametersLever(job: JobRecord, context: LeverContext): ParametersView {
  const view = valueLever(job, "parameters", context, undefined, (value, refused) => {
    const changes = parameterChanges(parametersOf(refused), parametersOf(value));
    return changes.length > 0
      ? changes.map(({ name, after }) => `${name} ${valueWords(after)}`).join(", ")
      : "the same";
  });
  const refused = view.phase === "refused" ? refusal(job, "parameters") : undefined;
  const [from, to] = refused ? [view.asked, refused.value] : [view.seen, view.asked];
  const shown = refused !== undefined || view.phase === "moving";
  return { ...view, changes: shown && from ? parameterChanges(parametersOf(from), parametersOf(to)) : [] };
}
