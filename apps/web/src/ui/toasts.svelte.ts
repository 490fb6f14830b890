/** Something that did not happen, whose cause is off the screen. */
export interface Toast {
  readonly id: number;
  /** What did not happen. */
  readonly title: string;
  /** Why, and what holds now. */
  readonly text: string;
  /** Where it can be put right. */
  readonly link: { readonly label: string; readonly href: string } | undefined;
}

/** At most three, newest last. They stay until they are closed. */
export class Toasts {
  #list = $state.raw<readonly Toast[]>([]);
  #next = 1;

  get list(): readonly Toast[] {
    return this.#list;
  }

  show(title: string, text: string, link?: { label: string; href: string }): void {
    this.#list = [...this.#list, { id: this.#next++, title, text, link }].slice(-3);
  }

  close(id: number): void {
    this.#list = this.#list.filter((toast) => toast.id !== id);
  }
}
