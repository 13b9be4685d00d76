import type { Runs } from "./comparison.ts";
import { type Curve, plotSvg } from "./plot.ts";
import type { Sample } from "./tally.ts";

const COLOURS: Readonly<Record<keyof Runs, string>> = {
  ours: "#0969da",
  "warm-eni": "#cf222e",
  "warm-ip": "#bf8700",
};

/** Over time: pods that wait for an address, and addresses that a node holds and nobody uses. By name of file. */
export function plots(title: string, runs: Runs): ReadonlyMap<string, string> {
  const curves = (of: (sample: Sample) => number): Curve[] =>
    (Object.keys(COLOURS) as (keyof Runs)[]).map((name) => ({
      name,
      colour: COLOURS[name],
      points: runs[name].samples.map((sample) => [minutes(sample, runs[name].samples), of(sample)]),
    }));
  const wasted = ({ held, used, nodes }: Sample) => (nodes === 0 ? 0 : (held - used) / nodes);
  return new Map([
    [
      "waiting",
      plotSvg({
        title: `Pods that wait for an address: ${title}`,
        xLabel: "minutes",
        yLabel: "pods",
        curves: curves(({ waiting }) => waiting),
      }),
    ],
    [
      "waste",
      plotSvg({
        title: `Addresses held and not used: ${title}`,
        xLabel: "minutes",
        yLabel: "per node",
        curves: curves(wasted),
      }),
    ],
  ]);
}

function minutes({ atMs }: Sample, samples: readonly Sample[]): number {
  return (atMs - (samples[0]?.atMs ?? 0)) / 60_000;
}
