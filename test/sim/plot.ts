/** Plots as SVG: small, of few parts, readable in both colour schemes of a browser. */

export type Curve = {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
};

export type Plot = {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly curves: readonly Curve[];
};

const WIDTH = 720;
const HEIGHT = 300;
const MARGIN = { left: 70, right: 20, top: 40, bottom: 70 } as const;
const TICKS = 5;

export function plotSvg({ title, xLabel, yLabel, curves }: Plot): string {
  const all = curves.flatMap(({ points }) => points);
  const x = axis(
    all.map(([value]) => value),
    MARGIN.left,
    WIDTH - MARGIN.right,
  );
  const y = axis(
    all.map(([, value]) => value),
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  );
  const path = ({ points, colour }: Curve) => {
    const steps = points.map(([a, b], index) => `${index === 0 ? "M" : "L"}${x.at(a)} ${y.at(b)}`).join("");
    return `<path d="${steps}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(MARGIN.left, 22, title, 'font-size="15" font-weight="bold"'),
    ...y.ticks.map(
      (tick) =>
        `<path d="M${MARGIN.left} ${y.at(tick)}H${WIDTH - MARGIN.right}" stroke="#ddd"/>` +
        text(MARGIN.left - 8, y.at(tick) + 4, short(tick), 'text-anchor="end"'),
    ),
    ...x.ticks.map((tick) =>
      text(x.at(tick), HEIGHT - MARGIN.bottom + 18, short(tick), 'text-anchor="middle"'),
    ),
    text(
      (MARGIN.left + WIDTH - MARGIN.right) / 2,
      HEIGHT - MARGIN.bottom + 36,
      xLabel,
      'text-anchor="middle"',
    ),
    `<text transform="translate(18 ${(MARGIN.top + HEIGHT - MARGIN.bottom) / 2}) rotate(-90)" text-anchor="middle">${yLabel}</text>`,
    ...curves.map(path),
    ...curves.map(({ name, colour }, index) => legend(MARGIN.left + index * 150, HEIGHT - 14, name, colour)),
    "</svg>\n",
  ].join("\n");
}

function legend(x: number, y: number, name: string, colour: string): string {
  return `<path d="M${x} ${y - 4}h24" stroke="${colour}" stroke-width="3"/>${text(x + 30, y, name, "")}`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${content}</text>`;
}

/** From nothing to a round number above the largest value. */
function axis(values: readonly number[], from: number, to: number) {
  const step = roundUp(Math.max(1e-9, ...values) / TICKS);
  const end = step * TICKS;
  const at = (value: number) => Math.round((from + ((to - from) * value) / end) * 10) / 10;
  return { at, ticks: Array.from({ length: TICKS + 1 }, (_, index) => index * step) };
}

function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= value) ?? 10) * power;
}

function short(value: number): string {
  const rounded = Math.round(value * 100) / 100;
  return rounded >= 10_000 ? `${rounded / 1000}k` : String(rounded);
}
