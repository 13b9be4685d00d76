import type { InstanceTypeInfo, NetworkCardInfo } from "@aws-sdk/client-ec2";
import type { Capabilities } from "../provider.ts";

/**
 * What an instance type can carry (DescribeInstanceTypes). A unit, address or block, takes one address slot of its interface; one slot of
 * each family is the interface's own.
 */
export function readCapabilities(info: InstanceTypeInfo): Capabilities {
  const network = info.NetworkInfo;
  const only = { NetworkCardIndex: 0, MaximumNetworkInterfaces: network?.MaximumNetworkInterfaces ?? 1 };
  const listed = network?.NetworkCards ?? [];
  const judged = (listed.length > 0 ? listed : [only]).map((card, position) => judgeCard(card, position));
  const ipv6Slots = network?.Ipv6Supported === false ? 0 : (network?.Ipv6AddressesPerInterface ?? 0);
  return {
    cards: judged.flatMap((card) => ("reason" in card ? [] : [card])),
    skippedCards: judged.flatMap((card) => ("reason" in card ? [card] : [])),
    unitsPerInterface: {
      4: Math.max(0, (network?.Ipv4AddressesPerInterface ?? 1) - 1),
      6: ipv6Slots,
    },
    unitLengths: unitLengths(info),
    canAddInterfaces: true,
    canReleaseUnits: true,
  };
}

type Judged =
  | { readonly index: number; readonly interfacesMax: number }
  | { readonly index: number; readonly reason: string };

function judgeCard(card: NetworkCardInfo, position: number): Judged {
  const index = card.NetworkCardIndex ?? position;
  const interfacesMax = card.MaximumNetworkInterfaces ?? 0;
  if (interfacesMax < 1) return { index, reason: "it takes no interface" };
  const types: readonly string[] | undefined = card.InterfaceTypes;
  if (types !== undefined && types.length > 0 && !types.includes("interface")) {
    return { index, reason: `it takes only interfaces of type ${types.join(", ")}, which carry no pods` };
  }
  return { index, interfacesMax };
}

/** Blocks need the Nitro system ("Prefix delegation for Amazon EC2 network interfaces", docs.aws.amazon.com, read 2026-11-25). */
function unitLengths(info: InstanceTypeInfo): Capabilities["unitLengths"] {
  return info.Hypervisor === "xen" ? { 4: [32], 6: [128] } : { 4: [32, 28], 6: [128, 80] };
}
