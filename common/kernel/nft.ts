import type { Cidr, IpAddress } from "../ip.ts";

/** The sets and maps of `inet causeway` whose elements change while it runs. */
export type NftElement =
  /** A genuine (pod link, source) pair: set genuine4 or genuine6 by the address's family. */
  | { readonly set: "genuine"; readonly link: string; readonly address: IpAddress }
  /** A unit of an uplink: interval map uplink4 or uplink6, `goto use-<slot>`, and interval set units4 or units6. */
  | { readonly set: "uplink"; readonly unit: Cidr; readonly slot: number };

export type NftChange = { readonly op: "add" | "remove"; readonly element: NftElement };

/** One table, `inet causeway`. We never flush the ruleset, nor touch a table that is not ours. */
export interface Nft {
  /**
   * Lays down a whole table by one atomic `nft -f -` transaction. The text is a complete ruleset script, which may begin by deleting
   * our own table. Throws KernelError `nft-rejected` with nft's words; then nothing changed.
   */
  load(script: string): Promise<void>;
  /**
   * The load that runs now, settled when it ends and never rejected; undefined when none does. An element that is added meanwhile goes with the table that
   * is replaced: whoever adds one that must not be missing, even for a moment, waits first.
   */
  readonly loading: Promise<void> | undefined;
  /** Our table in nft's JSON, stateless (no counters, no handles), or undefined when there is none. */
  read(): Promise<unknown | undefined>;
  /**
   * Element changes as one nfnetlink batch, all or nothing, synchronous, about 0.05 ms. Adding what is there and removing what
   * is not are success. ENOENT: the table or set is missing.
   */
  change(changes: readonly NftChange[]): void;
  /** Every element of that kind, both families. Empty when the table is missing. */
  list(set: NftElement["set"]): NftElement[];
  /** Named counters of our table: packets by name. Empty when the table is missing. */
  counters(): ReadonlyMap<string, number>;
}
