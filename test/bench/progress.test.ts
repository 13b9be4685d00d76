import { describe, expect, it } from "vitest";
import { SteppedClock } from "../../common/stepped-clock.ts";
import { progressOn } from "./progress.ts";

function screen(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => written.push(text) };
}

describe("progressOn()", () => {
  it("writes a line for each measurement at once, and at most one in 10 s of the same, where there is no terminal", async () => {
    const [file, clock] = [screen(false), new SteppedClock()];
    const show = progressOn(file, clock);
    show("a node with 1 pods");
    for (let done = 1; done <= 25; done += 1) {
      show(`ADD and DEL, 1 pods: ${done} of 25`);
      await clock.advance(1_000);
    }
    show("restarts");
    show("");
    expect(file.written).toEqual([
      "a node with 1 pods\n",
      "ADD and DEL, 1 pods: 1 of 25\n",
      "ADD and DEL, 1 pods: 11 of 25\n",
      "ADD and DEL, 1 pods: 21 of 25\n",
      "restarts\n",
    ]);
  });

  it("changes one line of a terminal, and takes it away", () => {
    const terminal = screen(true);
    const show = progressOn(terminal, new SteppedClock());
    for (const text of ["ADD: 1 of 2", "ADD: 2 of 2", ""]) show(text);
    expect(terminal.written).toEqual(["\r\x1b[KADD: 1 of 2", "\r\x1b[KADD: 2 of 2", "\r\x1b[K"]);
  });
});
