const mostAddresses = 32;

/**
 * The addresses in a text, parted by commas, or in a list of such texts: each once, in the order given, without a slash at the end.
 * Throws TypeError that says what is wrong with which one.
 */
export function parseAddresses(given: string | readonly string[]): [string, ...string[]] {
  const words = (typeof given === "string" ? [given] : given)
    .flatMap((text) => text.split(","))
    .map((text) => text.trim());
  const [first, ...others] = new Set(words.filter(Boolean).map(parseAddress));
  if (first === undefined) throw new TypeError("the server's address is empty: it must begin with http:// or https://");
  if (others.length >= mostAddresses)
    throw new TypeError(`the server has ${others.length + 1} addresses: at most ${mostAddresses} are allowed`);
  return [first, ...others];
}

function parseAddress(text: string): string {
  // Nobody is shown the password that somebody has put there.
  const shown = text.slice(0, 200).replace(/\/\/[^/]*@/, "//…@");
  const fault = (what: string) => new TypeError(`the server's address is ${JSON.stringify(shown)}: ${what}`);
  if (!/^https?:\/\//i.test(text)) throw fault("it must begin with http:// or https://");
  if (!URL.canParse(text)) throw fault("it must be http://host:port");
  const url = new URL(text);
  if (url.username || url.password) throw fault("it must not hold a name or a password");
  if (url.search || url.hash) throw fault("nothing may follow after the port and path");
  if (url.port === "0") throw fault("there is no port 0");
  return url.href.replace(/\/+$/, "");
}
