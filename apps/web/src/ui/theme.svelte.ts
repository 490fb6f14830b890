/** What the reader chose: the system's theme, or one of ours. */
export type ThemeChoice = "system" | "light" | "dark";

const key = "signalbox-theme";

/** The theme, kept in this browser. `public/theme.js` sets it before the first paint. */
export class Theme {
  #choice = $state.raw<ThemeChoice>(parse(document.documentElement.dataset["theme"]));

  get choice(): ThemeChoice {
    return this.#choice;
  }

  set choice(choice: ThemeChoice) {
    this.#choice = choice;
    if (choice === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = choice;
    try {
      localStorage.setItem(key, choice);
    } catch {
      // Storage is switched off: the choice holds for this page.
    }
  }
}

function parse(text: string | undefined): ThemeChoice {
  return text === "light" || text === "dark" ? text : "system";
}
