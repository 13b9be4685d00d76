import { beforeEach, describe, expect, it } from "vitest";
import { buildLogger } from "../common/log.ts";
import { Metrics } from "../common/metrics.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { type Problem, ProblemBoard } from "./problems.ts";

const HIDDEN: Problem = { code: "rule-hidden", severity: "warning", sentence: "rule 32765 is after ours" };
const OTHER: Problem = { ...HIDDEN, sentence: "rule 32764 is after ours" };
const REFUSED: Problem = { code: "ipv6-disabled", severity: "refused", sentence: "no IPv6 on eth0" };

let clock: SteppedClock;
let metrics: Metrics;
let logged: { level: string; msg: string; sentence?: string }[];
let board: ProblemBoard;

beforeEach(() => {
  clock = new SteppedClock();
  metrics = new Metrics();
  logged = [];
  const stream = { write: (line: string) => void logged.push(JSON.parse(line)) };
  const gauge = metrics.gauge("causeway_problems", "By code.");
  board = new ProblemBoard({ clock, log: buildLogger({ stream }), gauge });
});

const told = () => logged.map(({ level, msg, sentence }) => [level, msg, sentence].join(" | "));

describe("ProblemBoard", () => {
  it("tells a problem once when it appears and once when it is gone", () => {
    for (let look = 0; look < 3; look += 1) board.report("host", [HIDDEN]);
    board.report("host", [HIDDEN, OTHER]);
    board.report("host", [OTHER]);
    expect(told()).toEqual([
      "warn | a problem on this node | rule 32765 is after ours",
      "warn | a problem on this node | rule 32764 is after ours",
      "info | a problem is gone | rule 32765 is after ours",
    ]);
  });

  it("keeps what others found when one source reports, and lists the worst first", () => {
    board.report("host", [HIDDEN]);
    board.report("preflight", [REFUSED]);
    board.report("host", [HIDDEN, OTHER]);
    expect(board.list()).toEqual([REFUSED, HIDDEN, OTHER]);
    expect(logged.find(({ level }) => level === "error")?.sentence).toBe(REFUSED.sentence);
  });

  it("counts problems by code, and forgets codes that are gone", () => {
    board.report("host", [HIDDEN, OTHER]);
    board.report("preflight", [REFUSED]);
    expect(metrics.text()).toContain('causeway_problems{code="rule-hidden"} 2');
    board.report("host", []);
    expect(metrics.text()).not.toContain("rule-hidden");
    expect(metrics.text()).toContain('causeway_problems{code="ipv6-disabled"} 1');
  });
});

describe("ProblemBoard.attempt()", () => {
  const attempt = (work: () => Promise<unknown>) =>
    board.attempt("host-network", "refused", "not in order", work).catch((error: Error) => error.message);
  const fail = (why: string) => () => Promise.reject(new Error(why));

  it("passes on what the work gives or throws", async () => {
    expect(await attempt(async () => 7)).toBe(7);
    expect(await attempt(fail("busy"))).toBe("busy");
  });

  it("takes a failure for a problem only when nothing else has happened for 10 s, and tells it once", async () => {
    await attempt(fail("busy"));
    await clock.advance(9_000);
    await attempt(fail("busy"));
    expect(board.list()).toEqual([]);
    await clock.advance(1_000);
    await attempt(fail("busy with file 1"));
    await attempt(fail("busy with file 2"));
    expect(board.list()).toEqual([
      { code: "host-network", severity: "refused", sentence: "not in order: busy with file 1" },
    ]);
    expect(told()).toHaveLength(1);
  });

  it("ends the problem, and begins to count anew, with the first success", async () => {
    await attempt(fail("busy"));
    await clock.advance(10_000);
    await attempt(fail("busy"));
    await attempt(async () => undefined);
    await attempt(fail("busy"));
    expect(board.list()).toEqual([]);
    expect(told().at(-1)).toContain("a problem is gone");
  });
});
