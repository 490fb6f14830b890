import type { JobType } from "@signalbox/protocol";
import { StartForm } from "./start-form.svelte.ts";

/** The forms of several types: going back and forth between types loses nothing that was typed. */
export class StartForms {
  readonly #forms = new Map<string, StartForm>();

  /** The form of a type, made when it is asked for first. */
  of(type: JobType): StartForm {
    let form = this.#forms.get(type.name);
    if (!form) this.#forms.set(type.name, (form = new StartForm(type)));
    return form;
  }
}
