import { describe, expect, it } from "vitest";
import { Metrics } from "./metrics.ts";

describe("Metrics.text()", () => {
  it("prints counters and gauges with labels in one order, and escapes their values", () => {
    const metrics = new Metrics();
    const calls = metrics.counter("calls_total", "Calls made.");
    calls.add({ b: "2", a: 'say "hi"\n' });
    calls.add({ a: 'say "hi"\n', b: "2" }, 2);
    metrics.gauge("addresses", "Held \\ now.").set(7);
    expect(metrics.text()).toBe(
      [
        "# HELP addresses Held \\\\ now.",
        "# TYPE addresses gauge",
        "addresses 7",
        "# HELP calls_total Calls made.",
        "# TYPE calls_total counter",
        'calls_total{a="say \\"hi\\"\\n",b="2"} 3',
        "",
      ].join("\n"),
    );
  });

  it("prints histograms with cumulative, inclusive buckets", () => {
    const metrics = new Metrics();
    const time = metrics.histogram("t_seconds", "Time.", [0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 4]) time.observe(value, { call: "x" });
    expect(metrics.text().split("\n").slice(2)).toEqual([
      't_seconds_bucket{call="x",le="0.1"} 2',
      't_seconds_bucket{call="x",le="1"} 3',
      't_seconds_bucket{call="x",le="+Inf"} 4',
      't_seconds_sum{call="x"} 4.65',
      't_seconds_count{call="x"} 4',
      "",
    ]);
  });
});

describe("Metrics", () => {
  it("gives the existing metric for a name made twice, and refuses another kind", () => {
    const metrics = new Metrics();
    metrics.counter("a_total", "A.").add();
    metrics.counter("a_total", "A.").add();
    expect(metrics.counter("a_total", "A.").value()).toBe(2);
    expect(() => metrics.gauge("a_total", "A.")).toThrow("is a counter");
    expect(() => metrics.counter("Bad-name", "")).toThrow(RangeError);
  });

  it("refuses to count backwards", () => {
    expect(() => new Metrics().counter("a_total", "A.").add({}, -1)).toThrow(RangeError);
  });
});
