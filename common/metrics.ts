/**
 * Metrics in memory, printed in the Prometheus text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats, read
 * 2026-11-25). A registry is made in main and passed down; making a metric that exists gives the existing one.
 */

export type Labels = Readonly<Record<string, string>>;

/** Only grows. */
export interface Counter {
  /** Adds `amount` (default 1, at least 0) to the series of these labels. */
  add(labels?: Labels, amount?: number): void;
  /** The series' value; 0 before its first add(). */
  value(labels?: Labels): number;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** The series' value; 0 before its first set(). */
  value(labels?: Labels): number;
  /** Forgets every series: for gauges whose label values come and go. */
  clear(): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
  /** How many values the series has seen. */
  count(labels?: Labels): number;
}

/** Seconds: from a kernel call to a cloud call that hangs until its deadline. */
export const DURATION_BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

type Kind = "counter" | "gauge" | "histogram";
interface Family {
  readonly kind: Kind;
  readonly help: string;
  lines(name: string): string[];
}

export class Metrics {
  private readonly families = new Map<string, Family>();

  /** The name ends in `_total`. Throws RangeError for a bad name, or one that is another kind already. */
  counter(name: string, help: string): Counter {
    return this.family(name, "counter", () => new ValueFamily("counter", help)) as ValueFamily;
  }

  gauge(name: string, help: string): Gauge {
    return this.family(name, "gauge", () => new ValueFamily("gauge", help)) as ValueFamily;
  }

  /** Bucket bounds are upper, inclusive and ascending; +Inf is added. */
  histogram(name: string, help: string, buckets: readonly number[] = DURATION_BUCKETS): Histogram {
    return this.family(name, "histogram", () => new HistogramFamily(help, buckets)) as HistogramFamily;
  }

  /** Everything, in the text format, families sorted by name. */
  text(): string {
    const lines: string[] = [];
    for (const [name, family] of [...this.families].sort(([a], [b]) => (a < b ? -1 : 1))) {
      lines.push(`# HELP ${name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
      lines.push(`# TYPE ${name} ${family.kind}`, ...family.lines(name));
    }
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }

  private family(name: string, kind: Kind, make: () => Family): Family {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new RangeError(`not a metric name: ${JSON.stringify(name)}`);
    const family = this.families.get(name) ?? make();
    if (family.kind !== kind) throw new RangeError(`metric ${name} is a ${family.kind}, not a ${kind}`);
    this.families.set(name, family);
    return family;
  }
}

class ValueFamily implements Family, Counter, Gauge {
  readonly kind: Kind;
  readonly help: string;
  private readonly series = new Map<string, number>();

  constructor(kind: Kind, help: string) {
    this.kind = kind;
    this.help = help;
  }

  add(labels: Labels = {}, amount = 1): void {
    if (!(amount >= 0)) throw new RangeError(`a counter only grows, not by ${amount}`);
    const key = labelText(labels);
    this.series.set(key, (this.series.get(key) ?? 0) + amount);
  }

  set(value: number, labels: Labels = {}): void {
    this.series.set(labelText(labels), value);
  }

  value(labels: Labels = {}): number {
    return this.series.get(labelText(labels)) ?? 0;
  }

  clear(): void {
    this.series.clear();
  }

  lines(name: string): string[] {
    return [...this.series].map(([labels, value]) => `${name}${braced(labels)} ${value}`);
  }
}

class HistogramFamily implements Family, Histogram {
  readonly kind = "histogram";
  readonly help: string;
  private readonly bounds: readonly number[];
  private readonly series = new Map<string, { readonly counts: number[]; sum: number; count: number }>();

  constructor(help: string, bounds: readonly number[]) {
    this.help = help;
    this.bounds = bounds;
  }

  observe(value: number, labels: Labels = {}): void {
    const key = labelText(labels);
    const series = this.series.get(key) ?? { counts: this.bounds.map(() => 0), sum: 0, count: 0 };
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
    series.count += 1;
    this.series.set(key, series);
  }

  count(labels: Labels = {}): number {
    return this.series.get(labelText(labels))?.count ?? 0;
  }

  lines(name: string): string[] {
    return [...this.series].flatMap(([labels, series]) => {
      let below = 0;
      const buckets = this.bounds.map((bound, index) => {
        below += series.counts[index] ?? 0;
        return `${name}_bucket${braced(joined(labels, `le="${bound}"`))} ${below}`;
      });
      return [
        ...buckets,
        `${name}_bucket${braced(joined(labels, 'le="+Inf"'))} ${series.count}`,
        `${name}_sum${braced(labels)} ${series.sum}`,
        `${name}_count${braced(labels)} ${series.count}`,
      ];
    });
  }
}

/** `a="1",b="2"`, names sorted: equal label sets have equal text, which is the key of their series. */
function labelText(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((name) => `${name}="${escapeLabel(labels[name] ?? "")}"`)
    .join(",");
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

const braced = (labels: string): string => (labels === "" ? "" : `{${labels}}`);
const joined = (labels: string, more: string): string => (labels === "" ? more : `${labels},${more}`);
