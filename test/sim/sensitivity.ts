import { type CompareOptions, type Comparison, compare } from "./comparison.ts";
import { ASSUMED, type Assumptions } from "./scenarios.ts";

/** What may be otherwise in another account, or with another setting of ours. */
export const VARIED = [
  "API latency",
  "API budget",
  "arrival of pods",
  "life time of pods",
  "our spare",
] as const;

export type Variation = {
  readonly name: string;
  readonly assumed: Assumptions;
  readonly spareScale: number;
};

const KEYS: Readonly<Record<(typeof VARIED)[number], keyof Assumptions | undefined>> = {
  "API latency": "latency",
  "API budget": "budget",
  "arrival of pods": "arrival",
  "life time of pods": "life",
  "our spare": undefined,
};

/** As assumed, then each assumption halved and doubled. */
export function variations(): Variation[] {
  const asAssumed = { name: "as assumed", assumed: ASSUMED, spareScale: 1 };
  return [
    asAssumed,
    ...VARIED.flatMap((what) =>
      [0.5, 2].map((factor): Variation => {
        const name = `${what} ${factor === 2 ? "doubled" : "halved"}`;
        const key = KEYS[what];
        if (key === undefined) return { ...asAssumed, name, spareScale: factor };
        return { ...asAssumed, name, assumed: { ...ASSUMED, [key]: factor } };
      }),
    ),
  ];
}

/** One comparison for each. */
export async function vary(
  options: Omit<CompareOptions, "assumed" | "spareScale">,
): Promise<{ readonly name: string; readonly comparison: Comparison }[]> {
  const rows: { name: string; comparison: Comparison }[] = [];
  for (const { name, assumed, spareScale } of variations()) {
    const { comparison } = await compare({ ...options, assumed, spareScale });
    rows.push({ name, comparison });
  }
  return rows;
}
