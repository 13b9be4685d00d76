/**
 * Takes everything of ours off the host, for who leaves. What is ours is known by its protocol number, its name, its comment or its record, never by
 * likeness. Repeatable: what a first run did not get to, a second one does.
 */
import { isPodLinkName } from "../../cni/pod-link.ts";
import {
  DYING_GROUP,
  NFT_TABLE,
  POD_LINK_PREFIX,
  PODS_TABLE,
  PROTOCOL,
  SLOT_MAX,
} from "../../common/constants.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { Xtables } from "../../common/kernel/xtables.ts";
import { parseUplinkAlias } from "../uplink.ts";
import { PRIMARY_SLOT } from "../uplinks.ts";
import { type HostBefore, restoreHost } from "./before.ts";
import { removeForwardAccepts } from "./forward-accepts.ts";

const FAMILIES = [4, 6] as const;
const OUR_TABLES = Array.from({ length: SLOT_MAX + 1 }, (_, slot) => PODS_TABLE + slot);

/**
 * Gives what it did, one line each. Links of pods go too: who must not lose them looks first. Without `before`, kernel parameters stay as they are.
 * Throws KernelError at the first refusal.
 */
export async function removeHostNetwork(
  { kernel, xtables }: { readonly kernel: Kernel; readonly xtables: Xtables },
  before: HostBefore | undefined,
): Promise<readonly string[]> {
  return [
    ...(await removePodLinks(kernel)),
    ...removeRules(kernel),
    ...removeRoutes(kernel),
    ...releaseUplinks(kernel),
    ...(before === undefined ? [] : restoreHost(kernel.host, before)),
    ...(await removeForwardAccepts(xtables, FAMILIES)).map(
      ({ backend, family }) => `xtables: FORWARD of ${backend} IPv${family}`,
    ),
    ...(await removeTable(kernel)),
  ];
}

async function removePodLinks(kernel: Kernel): Promise<string[]> {
  const { links } = kernel.host;
  const pods = links.list("veth").filter(({ name }) => isPodLinkName(name));
  for (const { index } of pods) links.change(index, { group: DYING_GROUP });
  if (pods.length > 0) await kernel.slow.removeLinkGroup(DYING_GROUP, POD_LINK_PREFIX);
  return pods.map(({ name }) => `link: ${name}`);
}

function removeRules({ host }: Kernel): string[] {
  const ours = FAMILIES.flatMap((family) => host.rules.list(family)).filter(
    ({ protocol }) => protocol === PROTOCOL,
  );
  for (const rule of ours) host.rules.remove(rule);
  return ours.map(({ family, priority, table }) => `rule: IPv${family} ${priority} to ${table}`);
}

function removeRoutes({ host }: Kernel): string[] {
  const ours = OUR_TABLES.flatMap((table) =>
    FAMILIES.flatMap((family) => host.routes.list({ family, table, protocol: PROTOCOL })),
  );
  // a gateway's own route goes after the default by it
  for (const route of ours.toReversed()) host.routes.remove(route);
  return ours.map(({ type, destination, table }) => `route: ${type} ${destination} in ${table}`);
}

/** Secondary uplinks were ours whole, so their addresses go; the primary's were the machine's. */
function releaseUplinks({ host }: Kernel): string[] {
  return host.links.list().flatMap((link) => {
    const record = parseUplinkAlias(link.alias ?? "");
    if (record === undefined) return [];
    const own = record.slot === PRIMARY_SLOT ? [] : host.addresses.list(link.index);
    const addresses = own.filter(({ scope }) => (scope ?? 0) === 0);
    for (const address of addresses) host.addresses.remove(address);
    host.links.change(link.index, { alias: "", group: 0 });
    return [`uplink: ${link.name}`, ...addresses.map(({ address }) => `address: ${address} of ${link.name}`)];
  });
}

async function removeTable({ nft }: Kernel): Promise<string[]> {
  if ((await nft.read()) === undefined) return [];
  await nft.load(`delete table inet ${NFT_TABLE}\n`);
  return [`nft: table inet ${NFT_TABLE}`];
}
