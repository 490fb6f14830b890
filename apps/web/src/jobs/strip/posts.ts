import type { CommandMarker } from "../history.ts";
import type { TimeScale } from "./time-scale.ts";

/** A command on the strip: a post, and where there is room its words. */
export interface Post {
  readonly marker: CommandMarker;
  readonly x: number;
  /** Empty where there is no room. */
  readonly words: string;
  /** The words stand left of the post. */
  readonly left: boolean;
}

/** About how wide a letter is, px, and how many there may be. */
const letterPx = 6;
const mostLetters = 30;
/** At most so many posts are drawn; the newest. */
const mostPosts = 200;

/** The posts of commands, each at its moment. Words never overlap: the newest get theirs first. Nothing is written left of `fromX`. */
export function posts(markers: readonly CommandMarker[], scale: TimeScale, width: number, fromX: number): Post[] {
  const list: Post[] = [];
  // Words stand between here and the post to the right.
  let free = width;
  for (const marker of markers.slice(-mostPosts).toReversed()) {
    const x = scale.x(marker.atUs);
    const text = `${marker.short}, ${marker.who}`;
    const words = text.length > mostLetters ? `${text.slice(0, mostLetters - 1)}…` : text;
    const wide = words.length * letterPx + 8;
    const right = x + wide <= free;
    const left = !right && x - wide >= fromX && x <= free;
    const fits = right || left;
    if (fits) free = left ? x - wide : x;
    list.push({ marker, x, words: fits && x >= fromX ? words : "", left });
  }
  return list.reverse();
}
