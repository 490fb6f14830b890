import { type Color, type ColorName, namedColors } from "ansi-sequence-parser";
import { contrast, type Rgb } from "../ui/contrast.ts";

/** The log's surface in each theme; tokens.css has the same values. */
const well: { readonly light: Rgb; readonly dark: Rgb } = { light: [255, 255, 255], dark: [11, 14, 13] };
const cache = new Map<number, string>();

/**
 * A terminal colour as a CSS colour for text on the log. The sixteen are ours; others keep their hue, and their lightness is shifted in
 * each theme until they can be read.
 */
export function cssColor(color: Color): string {
  if (color.type === "named") return tokenOf(color.name);
  if (color.type === "table" && color.index < 16) return tokenOf(namedColors[color.index] ?? "white");
  const rgb = color.type === "rgb" ? clamp(color.rgb) : tableColor(color.index);
  const key = (rgb[0] << 16) | (rgb[1] << 8) | rgb[2];
  let css = cache.get(key);
  if (css === undefined) {
    if (cache.size > 4096) cache.clear();
    css = `light-dark(${text(readable(rgb, well.light, [0, 0, 0]))}, ${text(readable(rgb, well.dark, [255, 255, 255]))})`;
    cache.set(key, css);
  }
  return css;
}

/** `color`, moved towards `ink` in steps until it reaches 4.5 on `surface`. */
export function readable(color: Rgb, surface: Rgb, ink: Rgb): Rgb {
  for (let share = 0; share < 1; share += 0.05) {
    const mixed = color.map((part, index) => Math.round(part + ((ink[index] ?? 0) - part) * share)) as [
      number,
      number,
      number,
    ];
    if (contrast(mixed, surface) >= 4.5) return mixed;
  }
  return ink;
}

function tokenOf(name: ColorName): string {
  return `var(--ansi-${name.replace("bright", "bright-").toLowerCase()})`;
}

/** Colour 16 to 255 of the xterm table: a cube of 6 × 6 × 6, then 24 greys. */
function tableColor(index: number): Rgb {
  if (index >= 232) {
    const grey = 8 + Math.min(23, index - 232) * 10;
    return [grey, grey, grey];
  }
  const cube = Math.max(0, index - 16);
  const part = (step: number) => (step === 0 ? 0 : 55 + step * 40);
  return [part(Math.floor(cube / 36)), part(Math.floor(cube / 6) % 6), part(cube % 6)];
}

function clamp(rgb: readonly number[]): Rgb {
  const [red, green, blue] = rgb.map((part) => Math.max(0, Math.min(255, part)));
  return [red ?? 0, green ?? 0, blue ?? 0];
}

function text([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}
