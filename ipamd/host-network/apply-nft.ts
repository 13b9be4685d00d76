import type { Nft, NftChange, NftElement } from "../../common/kernel/nft.ts";
import { type TableForm, tableForm } from "./nft-compare.ts";
import { type NftTable, renderElements, renderTable, withGenuine } from "./nft-table.ts";

export type NftDoors = {
  readonly nft: Nft;
  /** What nft.read() would give if the script were loaded (common/kernel/nft-preview.ts). */
  readonly preview: (script: string) => Promise<unknown>;
  /** Every genuine pair that leases want, now: asked again after each wait, because pods come and go meanwhile. */
  readonly genuine: () => readonly NftElement[];
};

/**
 * Makes our table what it should be: nothing when it is, one transaction of elements when only elements differ (a CIDR
 * of the VPC, a unit), else one that puts the whole table in place; counters go on. Gives what it wrote. Established
 * connections live through all of it: their marks and translations are the connection's. Throws KernelError.
 */
export async function applyNft(doors: NftDoors, table: NftTable): Promise<string[]> {
  // pods' pairs are compared apart: they may change while nft runs
  const [wanted, actual] = await Promise.all([doors.preview(renderTable(table)), doors.nft.read()]);
  const written = await applyTable(doors, table, tableForm(wanted), actual);
  const changes = genuineChanges(doors);
  if (changes.length === 0) return written;
  doors.nft.change(changes);
  return [...written, `nft: ${changes.length} genuine pairs`];
}

async function applyTable(
  doors: NftDoors,
  table: NftTable,
  wanted: TableForm,
  listing: unknown,
): Promise<string[]> {
  const actual = listing === undefined ? undefined : tableForm(listing);
  if (actual?.structure !== wanted.structure) {
    await doors.nft.load(renderTable(withGenuine(table, doors.genuine()), doors.nft.counters()));
    return ["nft: table"];
  }
  const differing = table.sets.filter(
    (set) => !isGenuine(set.name) && actual.elements.get(set.name) !== wanted.elements.get(set.name),
  );
  if (differing.length === 0) return [];
  await doors.nft.load(renderElements(differing));
  return differing.map((set) => `nft: ${set.kind} ${set.name}`);
}

function isGenuine(setName: string): boolean {
  return setName.startsWith("genuine");
}

function genuineChanges({ nft, genuine }: NftDoors): NftChange[] {
  const wanted = byPair(genuine());
  const actual = byPair(nft.list("genuine"));
  const changes: NftChange[] = [];
  for (const [pair, element] of wanted) if (!actual.has(pair)) changes.push({ op: "add", element });
  for (const [pair, element] of actual) if (!wanted.has(pair)) changes.push({ op: "remove", element });
  return changes;
}

function byPair(elements: readonly NftElement[]): Map<string, NftElement> {
  const pairs = elements.filter((element) => element.set === "genuine");
  return new Map(pairs.map((pair) => [`${pair.link} ${pair.address}`, pair]));
}
