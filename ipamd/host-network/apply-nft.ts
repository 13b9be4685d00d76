/**
 * Keeps the table `inet causeway` as planned. Its chains are compared in the kernel's own form, as nft prints what it loaded; its elements one by one.
 * Anything else in place of the chains is replaced whole, in one transaction that carries every element along.
 */
import { Cidr } from "../../common/ip.ts";
import type { Nft, NftElement } from "../../common/kernel/nft.ts";
import { type NftTable, renderElements, renderTable, withGenuine } from "./nft-table.ts";

/** As `nft -j` prints it. */
type Listing = { readonly nftables: readonly Readonly<Record<string, Listed>>[] };
type Listed = { readonly name?: string; readonly elem?: readonly unknown[] } & Readonly<
  Record<string, unknown>
>;

export class NftApplier {
  private readonly nft: Nft;
  /** The script that was loaded last, without elements, and what the kernel made of it. */
  private loaded: { readonly script: string; readonly form: string } | undefined;

  constructor(nft: Nft) {
    this.nft = nft;
  }

  /** Gives what it wrote, for people. A second call writes nothing. Throws KernelError. */
  async apply(table: NftTable): Promise<string[]> {
    const script = renderTable(bare(table));
    const listing = (await this.nft.read()) as Listing | undefined;
    const isIntact =
      listing !== undefined && this.loaded?.script === script && formOf(listing) === this.loaded.form;
    if (!isIntact) return this.load(table, script);
    return [...this.applyUnits(table), ...(await this.applyInside(table, listing))];
  }

  /** CIDRs of the set `inside4`; empty when there is no table. */
  async insideCidrs(): Promise<Cidr[]> {
    const listing = (await this.nft.read()) as Listing | undefined;
    return listing === undefined ? [] : insideOf(listing).map((text) => Cidr.parse(text));
  }

  private async load(table: NftTable, script: string): Promise<string[]> {
    await this.nft.load(renderTable(withGenuine(table, this.nft.list("genuine")), this.nft.counters()));
    const listing = (await this.nft.read()) as Listing | undefined;
    this.loaded = listing === undefined ? undefined : { script, form: formOf(listing) };
    return ["nft table"];
  }

  private applyUnits(table: NftTable): string[] {
    const wanted = new Map(table.units.map((element) => [unitKey(element), element]));
    const actual = new Map(this.nft.list("uplink").map((element) => [unitKey(element), element]));
    const changes = [
      ...[...actual]
        .filter(([key]) => !wanted.has(key))
        .map(([, element]) => ({ op: "remove", element }) as const),
      ...[...wanted]
        .filter(([key]) => !actual.has(key))
        .map(([, element]) => ({ op: "add", element }) as const),
    ];
    if (changes.length > 0) this.nft.change(changes);
    return changes.map(({ op, element }) => `nft ${op} ${unitKey(element)}`);
  }

  /** One transaction, so that no packet sees half of a change of CIDRs. */
  private async applyInside(table: NftTable, listing: Listing): Promise<string[]> {
    const set = table.sets.find(({ name }) => name === "inside4");
    if (set === undefined) return [];
    const actual = insideOf(listing).map((text) => Cidr.parse(text));
    const wanted = set.elements.map((text) => Cidr.parse(text));
    if (sorted(actual) === sorted(wanted)) return [];
    await this.nft.load(renderElements([set]));
    return [`nft inside4 ${set.elements.join(" ")}`];
  }
}

/** The table with no elements that change while it runs. */
function bare(table: NftTable): NftTable {
  return { ...table, sets: table.sets.map((set) => ({ ...set, elements: [] })) };
}

/** Everything but those elements. */
function formOf(listing: Listing): string {
  const parts = listing.nftables.map((entry) =>
    Object.fromEntries(
      Object.entries(entry).map(([kind, { elem, ...rest }]) => [
        kind,
        isElementHolder(kind, rest) ? rest : { elem, ...rest },
      ]),
    ),
  );
  return JSON.stringify(parts, (key, value: unknown) => (key === "handle" ? undefined : value));
}

function isElementHolder(kind: string, { name }: { readonly name?: string }): boolean {
  return (kind === "set" || kind === "map") && name !== undefined && !name.startsWith("__");
}

function insideOf(listing: Listing): string[] {
  const set = listing.nftables.map((entry) => entry.set).find((one) => one?.name === "inside4");
  return (set?.elem ?? []).map((element) => {
    const { prefix } = element as { readonly prefix?: { readonly addr: string; readonly len: number } };
    return prefix === undefined ? String(element) : `${prefix.addr}/${prefix.len}`;
  });
}

function unitKey(element: NftElement): string {
  return element.set === "uplink" ? `${element.unit} slot ${element.slot}` : "";
}

function sorted(cidrs: readonly Cidr[]): string {
  return cidrs.map(String).sort().join(" ");
}
