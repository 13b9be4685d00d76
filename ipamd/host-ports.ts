/** Whose host ports portmap keeps, by the rules that it has made: with iptables, or from 1.6 on with nftables where there is no iptables. */
import type { ContainerId } from "../common/ids.ts";
import type { IpAddress } from "../common/ip.ts";
import {
  listFirewall,
  listNftRules,
  type NftRule,
  type XtablesLine,
} from "../common/kernel/firewall-listing.ts";
import { NETWORK } from "./conflist.ts";

/** As portmap's configuration names them. */
export type PortmapBackend = "iptables" | "nftables";

export type HostPortOwner = { readonly containerId: ContainerId; readonly backend: PortmapBackend };

/** All programs' lines of xtables, and the rules of portmap's own nft tables. */
export type HostPortRules = { readonly xtables: readonly XtablesLine[]; readonly nft: readonly NftRule[] };

/** plugins/meta/portmap/portmap_nftables.go, 1.6.0 to 1.9.1: tables `ip` and `ip6` of that name. */
const NFT_TABLE = "cni_hostport";
/** In these a rule of a container has its id as comment, and nothing else: no network. */
const NFT_CHAINS: readonly string[] = ["hostports", "hostip_hostports"];
/** How portmap notes a container (plugins/meta/portmap/portmap.go, fillDnatRules), as iptables-save prints it. */
const XTABLES_RULE =
  /^-A CNI-HOSTPORT-DNAT .*--comment "dnat name: \\"(.+?)\\" id: \\"([A-Za-z0-9][\w.-]*)\\""/;
const CONTAINER_ID = /^[A-Za-z0-9][\w.-]*$/;

/** Of this namespace, as they are now. Throws the system's error. */
export async function listHostPortRules(): Promise<HostPortRules> {
  return { xtables: (await listFirewall()).xtables, nft: await listNftRules(NFT_TABLE) };
}

/**
 * Containers of our network that portmap has rules of, in either family and back-end, once for each back-end. Where a rule does not name the
 * network, it is ours when it leads to an address that pods of ours may have. Pure.
 */
export function hostPortOwners(
  { xtables, nft }: HostPortRules,
  isOfPool: (address: IpAddress) => boolean,
): HostPortOwner[] {
  const inXtables = xtables.flatMap(({ table, line }) => {
    const [, network, id] = XTABLES_RULE.exec(line) ?? [];
    return table === "nat" && network === NETWORK && id !== undefined ? [id] : [];
  });
  const inNft = nft.flatMap(({ chain, comment = "", dnatTo }) => {
    const isOurs = NFT_CHAINS.includes(chain) && dnatTo !== undefined && isOfPool(dnatTo);
    return isOurs && CONTAINER_ID.test(comment) ? [comment] : [];
  });
  return [...owners(inXtables, "iptables"), ...owners(inNft, "nftables")];
}

function owners(ids: readonly string[], backend: PortmapBackend): HostPortOwner[] {
  return [...new Set(ids)].map((id) => ({ containerId: id as ContainerId, backend }));
}
