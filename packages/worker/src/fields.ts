/** Structured fields of a line. Numbers and booleans become text; undefined and null are left out. */
export type Fields = Readonly<Record<string, string | number | bigint | boolean | null | undefined>>;

/** Most fields that a line keeps. */
export const MAX_FIELDS = 64;
/** Most characters that the fields of a line keep, names and values together. */
export const MAX_FIELD_CHARACTERS = 8 * 1024;

/**
 * The fields as text, within bounds: a value that is too long ends in '…', and what does not fit any more is left out. `mask` masks the
 * secrets of a name or value, before it is cut. Names that are the same then are told apart by a number.
 */
export function boundFields(
  fields: Fields,
  mask: (text: string) => string = (text) => text,
): Record<string, string> | undefined {
  const bounded: Record<string, string> = {};
  let count = 0;
  let room = MAX_FIELD_CHARACTERS;
  for (const [given, value] of Object.entries(fields)) {
    if (value === undefined || value === null || given === "") continue;
    const shown = mask(given);
    let name = shown;
    for (let n = 2; Object.hasOwn(bounded, name) || (shown !== given && Object.hasOwn(fields, name)); n++)
      name = `${shown} ${n}`;
    const text = mask(String(value));
    room -= name.length;
    if (room <= 0 || count === MAX_FIELDS) break;
    bounded[name] = (text.length > room ? `${text.slice(0, room - 1)}…` : text).toWellFormed();
    room -= text.length;
    count++;
  }
  return count > 0 ? bounded : undefined;
}
