/** Numbers, sizes and times as people read them. Units stand after a no-break space; unknown is an en dash, zero is `0`. */

const space = "\u00a0";

/** One digit that counts, never as a power of ten. */
const tiny = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 1 });

/** What stands for a number that is not known. */
export const unknown = "–";

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** `184,245`: for numbers that are the subject. */
export function exact(count: number): string {
  return grouped.format(count);
}

/** `8,214`, `184 k`, `1.2 M`: for lists. Up to 20,000 the number is exact. */
export function compact(count: number): string {
  if (count < 20_000) return exact(count);
  const [scaled, unit] =
    count < 999_500 ? [count / 1e3, "k"] : count < 999_500_000 ? [count / 1e6, "M"] : [count / 1e9, "G"];
  return `${scaled < 99.95 && unit !== "k" ? scaled.toFixed(1) : grouped.format(scaled)}${space}${unit}`;
}

/** `12.4 /s`: one decimal below 100; `–` where it is not known. */
export function rate(perSecond: number | undefined): string {
  return perSecond === undefined ? unknown : `${rateNumber(perSecond)}${space}/s`;
}

/** The number of {@link rate} alone. */
export function rateNumber(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return tiny.format(perSecond);
  return perSecond < 99.95 && perSecond % 1 !== 0 ? perSecond.toFixed(1) : grouped.format(perSecond);
}

/** `38.1 %`. Never rounds up to 100 before the end. `share` is 0 to 1. */
export function percent(share: number): string {
  const tenths = share >= 1 ? 1000 : Math.min(999, Math.round(share * 1000));
  return `${(tenths / 10).toFixed(tenths >= 1000 ? 0 : 1)}${space}%`;
}

/** `38.4 MB`: powers of ten. */
export function bytes(count: number): string {
  if (count < 999.5) return `${Math.round(count)}${space}B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let scaled = count / 1000;
  let unit = 0;
  while (scaled >= 999.95 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${scaled < 99.95 ? scaled.toFixed(1) : grouped.format(scaled)}${space}${units[unit]}`;
}

/** `0.4 s`, `22 s`, `5 m 05 s`, `2 h 10 m`, `3 d 4 h`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${space}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${space}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${space}m${space}${two(whole % 60)}${space}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}${space}h${space}${two(minutes % 60)}${space}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}${space}d${space}${hours % 24}${space}h`;
}

/** `+38 ms`, `+1.2 s`: how long a step took. */
export function step(ms: number): string {
  return ms < 1000 ? `${Math.max(0, Math.round(ms))}${space}ms` : duration(ms);
}

/** `18:06:26.029`, local time, from microseconds since the Unix epoch. */
export function logTime(us: number): string {
  const date = new Date(us / 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** `18:01:30`, with the date in front when it is not the day of `nowMs`. */
export function clock(us: number, nowMs: number): string {
  const date = new Date(us / 1000);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${date.getDate()}${space}${months[date.getMonth()]} ${time}`;
}

/** The whole truth about a moment, for a title: `2026-11-21 18:01:30.412 UTC+01:00`. */
export function moment(us: number): string {
  const date = new Date(us / 1000);
  const offset = -date.getTimezoneOffset();
  const zone = `UTC${offset < 0 ? "−" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${logTime(us)} ${zone}`;
}

/** `1 line`, `13 lines`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${exact(count)}${space}${count === 1 ? one : many}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** Words as a POSIX shell reads them back. */
export function shellWords(words: readonly string[]): string {
  return words.map(quote).join(" ");
}

function quote(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** Controls without tab and line ends, what turns the direction of text around, and what is not seen at all. */
const unseen = /(?![\t\n])[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/**
 * Text of jobs and of other people for a page: what a reader would not see, or what would turn the text around, becomes visible, such as
 * `<U+202E>`. What is written from right to left stays as it is.
 */
export function visible(text: string): string {
  return text.replace(unseen, (char) => `<U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
}
