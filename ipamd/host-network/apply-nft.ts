import type { Nft, NftChange, NftElement } from "../../common/kernel/nft.ts";
import { type TableForm, tableForm } from "./nft-compare.ts";
import { type NftTable, renderElements, renderTable, withGenuine } from "./nft-table.ts";

export type NftDoors = {
  readonly nft: Nft;
  /** What nft.read() would give if the script were loaded (common/kernel/nft-preview.ts). */
  readonly preview: (script: string) => Promise<unknown>;
  /** Every genuine pair that leases want, now: asked again after each wait, because pods come and go meanwhile. */
  readonly genuine: () => readonly NftElement[];
  /** Every unit that is held, now, with the slot of its uplink: the pool too changes them meanwhile. */
  readonly units: () => readonly NftElement[];
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
  const pairs = differences(doors.genuine(), doors.nft.list("genuine"));
  const units = differences(doors.units(), doors.nft.list("uplink"));
  if (pairs.length + units.length > 0) doors.nft.change([...pairs, ...units]);
  if (pairs.length > 0) written.push(`nft: ${pairs.length} genuine pairs`);
  if (units.length > 0) written.push(`nft: ${units.length} units`);
  return written;
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

/** What turns the actual elements into the wanted ones. */
function differences(
  wantedElements: readonly NftElement[],
  actualElements: readonly NftElement[],
): NftChange[] {
  const [wanted, actual] = [byKey(wantedElements), byKey(actualElements)];
  const changes: NftChange[] = [];
  for (const [key, element] of actual) if (!wanted.has(key)) changes.push({ op: "remove", element });
  for (const [key, element] of wanted) if (!actual.has(key)) changes.push({ op: "add", element });
  return changes;
}

function byKey(elements: readonly NftElement[]): Map<string, NftElement> {
  return new Map(
    elements.map((element) => [
      element.set === "genuine" ? `${element.link} ${element.address}` : `${element.unit} ${element.slot}`,
      element,
    ]),
  );
}
