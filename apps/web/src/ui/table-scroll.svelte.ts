/** Height of the table's head, which covers rows, px. */
const headHeight = 28;
/** Rows above and below the screen that are there too. */
const overscan = 8;

/** How far a table of many rows is scrolled, and which of its rows are near the screen. */
export class TableScroll {
  /** The element that scrolls; set by the table. */
  scroller = $state.raw<HTMLElement>();
  scrollTop = $state(0);
  /** Height of the screen, px. */
  height = $state(600);
  /** Height of a row, px. */
  rowHeight = $state(36);
  /** The rows on the screen were painted: what is out of sight may be drawn, too. */
  settled = $state(false);

  /** Whether the first row is out of sight. */
  get scrolled(): boolean {
    return this.scrollTop > this.rowHeight;
  }

  /** The rows to draw of so many, `last` exclusive. */
  range(count: number): { readonly first: number; readonly last: number } {
    const beyond = this.settled ? overscan : 0;
    return {
      first: Math.max(0, Math.floor(this.scrollTop / this.rowHeight) - beyond),
      last: Math.min(count, Math.ceil((this.scrollTop + this.height) / this.rowHeight) + beyond),
    };
  }

  /** Scrolls as little as brings the row into sight. */
  reveal(index: number): void {
    const { scroller } = this;
    if (!scroller) return;
    const top = index * this.rowHeight;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + this.rowHeight > scroller.scrollTop + scroller.clientHeight - headHeight)
      scroller.scrollTop = top + this.rowHeight - scroller.clientHeight + headHeight;
  }

  /** Scrolls to the first row. */
  toTop(): void {
    this.scroller?.scrollTo({ top: 0 });
  }
}
