import type { Clock } from "../../common/clock.ts";

/** Of one measurement, where each piece of news is a line of its own. */
const LINE_EVERY_MS = 10_000;

/** Where it is shown: process.stderr. */
export type Screen = { readonly isTTY?: boolean; write(text: string): unknown };

/**
 * Shows how far a benchmark is: `what`, or `what: so far`. On a terminal in one line that changes, and empty text takes it away. In a file each
 * is a line: the first of a measurement at once, the others at most every 10 s.
 */
export function progressOn(screen: Screen, clock: Pick<Clock, "now">): (text: string) => void {
  if (screen.isTTY) return (text) => void screen.write(`\r\x1b[K${text}`);
  let shown = { what: "", at: Number.NEGATIVE_INFINITY };
  return (text) => {
    const [what = ""] = text.split(": ");
    if (text === "" || (what === shown.what && clock.now() - shown.at < LINE_EVERY_MS)) return;
    shown = { what, at: clock.now() };
    screen.write(`${text}\n`);
  };
}
