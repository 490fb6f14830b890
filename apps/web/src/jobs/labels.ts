/** Bounds of the contract. */
const mostLabels = 32;
const longestKey = 63;
const longestValue = 200;

/**
 * Labels from `key=value` words, added to those that are there. Or what is wrong, as a sentence. Words stand apart by spaces or commas; a value
 * cannot hold either.
 */
export function addLabels(
  text: string,
  labels: Readonly<Record<string, string>>,
): { readonly labels: Record<string, string> } | { readonly wrong: string } {
  const added: Record<string, string> = { ...labels };
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    const at = word.indexOf("=");
    const [key, value] = [word.slice(0, at), word.slice(at + 1)];
    if (at < 1) return { wrong: `“${word}” needs the form key=value` };
    if (key.length > longestKey) return { wrong: `A key has ${longestKey} characters at most` };
    if (value.length > longestValue) return { wrong: `A value has ${longestValue} characters at most` };
    added[key] = value;
  }
  if (Object.keys(added).length > mostLabels) return { wrong: `A job has ${mostLabels} labels at most` };
  return { labels: added };
}
