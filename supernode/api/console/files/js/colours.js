// The style sheet's colours, for canvases: read again when the reader changes between light and dark.

const NAMES = ["paper", "panel", "ink", "quiet", "line", "shade", "origin", "seed", "peers", "warn", "bad", "accent"];
const changed = new Set();
let known = null;

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  known = null;
  for (const listener of changed) listener();
});

/** By name, as CSS writes them. */
export function colours() {
  if (!known) {
    const style = getComputedStyle(document.documentElement);
    known = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return known;
}

/** Call `listener` when they have changed. */
export function onChange(listener) {
  changed.add(listener);
  return () => changed.delete(listener);
}

/** Red, green and blue of a colour written as #rrggbb. */
export function channels(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}

/** `share` of the way from one colour to another, as #rrggbb. */
export function between(from, to, share) {
  const [start, end] = [channels(from), channels(to)];
  return `#${start.map((channel, index) => Math.round(channel + (end[index] - channel) * share).toString(16).padStart(2, "0")).join("")}`;
}
