import { NFT_TABLE } from "../../constants.ts";
import { Cidr, IpAddress } from "../../ip.ts";
import { KernelError } from "../errors.ts";
import type { Nft, NftChange, NftElement } from "../nft.ts";
import { setNames } from "../nft-elements.ts";

type Table = {
  readonly script: string;
  readonly sets: ReadonlySet<string>;
  readonly counters: Map<string, number>;
  elements: readonly NftElement[];
};

/**
 * Our table in memory. Of a script it understands what it needs: that the table is deleted or laid down, the names of sets, maps and
 * counters, and the elements of genuine and uplink sets written in it. The rules of the chains are kept as text.
 */
export class MemoryNft implements Nft {
  /** A load here takes no time. */
  readonly loading = undefined;
  private table: Table | undefined;
  private readonly touched: () => void;

  /** @param touched told after each change of the table */
  constructor(touched: () => void = () => undefined) {
    this.touched = touched;
  }

  async load(script: string): Promise<void> {
    const opening = `table inet ${NFT_TABLE} {`;
    const deletes = new RegExp(`^\\s*(delete|destroy) table inet ${NFT_TABLE}\\b`, "m").test(script);
    const [, body] = script.split(opening);
    if (body === undefined && !deletes) {
      throw new KernelError("nft-rejected", `load a ruleset: no table inet ${NFT_TABLE} in it`);
    }
    this.table = body === undefined ? undefined : parseTable(body);
    this.touched();
  }

  async read(): Promise<unknown | undefined> {
    if (this.table === undefined) return undefined;
    const { script, elements } = this.table;
    return {
      nftables: [
        { table: { family: "inet", name: NFT_TABLE } },
        { script, elements: elements.map(printElement) },
      ],
    };
  }

  change(changes: readonly NftChange[]): void {
    if (changes.length === 0) return;
    const table = this.table;
    const missing = changes
      .flatMap(({ element }) => setNames(element))
      .find((name) => !table?.sets.has(name));
    if (table === undefined || missing !== undefined) {
      throw new KernelError("ENOENT", `no table ${NFT_TABLE}, or no set ${missing} in it`);
    }
    // all or nothing: a refusal leaves what was there
    table.elements = changes.reduce(applyChange, table.elements);
    this.touched();
  }

  list(set: NftElement["set"]): NftElement[] {
    return (this.table?.elements ?? []).filter((element) => element.set === set).sort(compareElements);
  }

  counters(): ReadonlyMap<string, number> {
    return new Map(this.table?.counters);
  }

  /** As packets do. Throws when there is no such counter. */
  count(name: string, packets: number): void {
    const before = this.table?.counters.get(name);
    if (before === undefined) throw new KernelError("ENOENT", `no counter ${name}`);
    this.table?.counters.set(name, before + packets);
  }

  /** Takes the whole table away, as another program may. Repeatable. */
  deleteTable(): void {
    this.table = undefined;
    this.touched();
  }

  /** As `nft` commands, one element a line. */
  print(): string[] {
    if (this.table === undefined) return [];
    return [`table inet ${NFT_TABLE}`, ...[...this.table.elements].sort(compareElements).map(printElement)];
  }
}

/** `element inet causeway genuine4 { "cw1" . 10.0.0.5 }` */
function printElement(element: NftElement): string {
  const [name] = setNames(element);
  const text =
    element.set === "genuine"
      ? `"${element.link}" . ${element.address}`
      : `${element.unit} : goto use-${element.slot}`;
  return `element inet ${NFT_TABLE} ${name} { ${text} }`;
}

function applyChange(elements: readonly NftElement[], { op, element }: NftChange): readonly NftElement[] {
  const others = elements.filter((other) => !hasSameKey(other, element));
  if (op === "remove") return others;
  const overlap = others.find(
    (other) => element.set === "uplink" && other.set === "uplink" && other.unit.overlaps(element.unit),
  );
  if (overlap !== undefined)
    throw new KernelError("EEXIST", `add ${printElement(element)}: overlaps ${printElement(overlap)}`);
  return [...others, element];
}

function hasSameKey(a: NftElement, b: NftElement): boolean {
  if (a.set === "genuine" && b.set === "genuine") return a.link === b.link && a.address.equals(b.address);
  return a.set === "uplink" && b.set === "uplink" && a.unit.equals(b.unit);
}

function compareElements(a: NftElement, b: NftElement): number {
  if (a.set === "uplink" && b.set === "uplink") return a.unit.compare(b.unit);
  if (a.set === "genuine" && b.set === "genuine") {
    return a.address.compare(b.address) || a.link.localeCompare(b.link);
  }
  return a.set === "genuine" ? -1 : 1;
}

function parseTable(body: string): Table {
  const names = (kind: string) =>
    [...body.matchAll(new RegExp(`^\\s*${kind} (\\S+) \\{`, "gm"))].map(([, name = ""]) => name);
  return {
    script: body,
    sets: new Set([...names("set"), ...names("map")]),
    counters: new Map(names("counter").map((name) => [name, 0])),
    elements: [...parseGenuine(body), ...parseUnits(body)],
  };
}

function parseGenuine(body: string): NftElement[] {
  return elementTexts(body, "set genuine[46]").map((text) => {
    const [, link = "", address = ""] = /^"?([^" ]+)"? \. (\S+)$/.exec(text) ?? [];
    return { set: "genuine", link, address: IpAddress.parse(address) };
  });
}

function parseUnits(body: string): NftElement[] {
  return elementTexts(body, "map uplink[46]").map((text) => {
    const [, unit = "", slot = ""] = /^(\S+) : goto use-(\d+)$/.exec(text) ?? [];
    return { set: "uplink", unit: Cidr.parse(unit), slot: Number(slot) };
  });
}

function elementTexts(body: string, declaration: string): string[] {
  const pattern = new RegExp(`^\\s*${declaration} \\{[^{}]*elements = \\{([^}]*)\\}`, "gm");
  return [...body.matchAll(pattern)].flatMap(([, list = ""]) =>
    list
      .split(",")
      .map((text) => text.trim())
      .filter((text) => text !== ""),
  );
}
