/** The first `longest` characters of a text that came from outside; what is no Unicode in it is replaced. */
export function clip(text: string, longest: number): string {
  if (text.length <= longest) return text.toWellFormed();
  // A character is at most two code units: what lies behind twice the length is not looked at.
  return [...text.slice(0, 2 * longest)].slice(0, longest).join("").toWellFormed();
}
