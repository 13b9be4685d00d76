/** A ratio of medians would move with the machine's load; the median of ratios of neighbours in time hardly does. */

/** Median of the ratios pair by pair, with a 95 % interval. */
export type Ratio = { readonly ratio: number; readonly ratioLow: number; readonly ratioHigh: number };

/** NaN without values. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value at that part of the sorted values, between neighbours in proportion. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * part;
  const [below, above] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/** Of `ours[i] / theirs[i]`. The interval is between order statistics (binomial), so it supposes no distribution; of fewer than six pairs it is all of them. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Ratio {
  const ratios = ours.flatMap((value, index) => {
    const other = theirs[index];
    return other === undefined ? [] : [value / other];
  });
  const sorted = ratios.toSorted((a, b) => a - b);
  const below = Math.max(0, Math.floor(sorted.length / 2 - 0.98 * Math.sqrt(sorted.length)) - 1);
  return {
    ratio: median(sorted),
    ratioLow: sorted[below] ?? Number.NaN,
    ratioHigh: sorted[sorted.length - 1 - below] ?? Number.NaN,
  };
}
