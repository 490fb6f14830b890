import stringWidth from "string-width";

/** A column of a table. Cells are without controls; a style is put on after they have their width. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Numbers stand at the right. Default: left. */
  readonly align?: "left" | "right";
  /** Gives way where the terminal is narrow, down to so many columns; undefined: never. */
  readonly shrinkTo?: number;
  readonly style?: (text: string, row: Row) => string;
}

const gap = "  ";
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** Lays out rows below their titles, aligned by what is seen (wide characters count twice). `columns` undefined: as wide as it gets. */
export function tableLines<Row>(
  layout: readonly Column<Row>[],
  rows: readonly Row[],
  columns: number | undefined,
  titleStyle: (text: string) => string = (text) => text,
): string[] {
  const cells = rows.map((row) => layout.map((column) => column.cell(row)));
  const widths = layout.map((column, i) =>
    Math.max(stringWidth(column.title), ...cells.map((line) => stringWidth(line[i] ?? ""))),
  );
  if (columns !== undefined) shrink(layout, widths, columns);
  const join = (texts: readonly string[], style: (text: string, i: number) => string) =>
    texts
      .map((text, i) => {
        const width = widths[i] ?? 0;
        const cut = truncate(text, width);
        const fill = " ".repeat(width - stringWidth(cut));
        const isLast = i === texts.length - 1;
        return layout[i]?.align === "right" ? fill + style(cut, i) : style(cut, i) + (isLast ? "" : fill);
      })
      .join(gap)
      .trimEnd();
  return [
    join(
      layout.map(({ title }) => title),
      titleStyle,
    ),
    ...rows.map((row, r) => join(cells[r] ?? [], (text, i) => layout[i]?.style?.(text, row) ?? text)),
  ];
}

/** Takes columns from those that give way, the widest first, until the table fits or none gives way any more. */
function shrink<Row>(layout: readonly Column<Row>[], widths: number[], columns: number): void {
  let over = widths.reduce((sum, width) => sum + width, 0) + gap.length * (widths.length - 1) - columns;
  while (over > 0) {
    let widest = -1;
    for (const [i, column] of layout.entries()) {
      const width = widths[i] ?? 0;
      if (column.shrinkTo !== undefined && width > column.shrinkTo && width > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over--;
  }
}

/** The text in at most `width` columns, with `…` where something was left out. */
export function truncate(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const more = stringWidth(segment);
    if (used + more > width - 1) break;
    kept += segment;
    used += more;
  }
  return width > 0 ? `${kept}…` : "";
}
