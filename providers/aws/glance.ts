/**
 * What the metadata service shows of this node's network, as one text: free of EC2's rate limits, so it may be looked at often. A hint and no more:
 * it lags behind EC2, in both directions, and only says that it is time to ask.
 */
import { type MacAddress, parseMac } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { type Imds, matching } from "./imds.ts";

const MACS = "meta-data/network/interfaces/macs/";

/** What is read of each interface, in this order. Empty lists have no key: 404 is empty. */
const FACTS = {
  "interface-id": matching(/^eni-[0-9a-f]+$/),
  "device-number": matching(/^\d+$/),
  "local-ipv4s": cidrs,
  "ipv4-prefix": cidrs,
  ipv6s: cidrs,
  "ipv6-prefix": cidrs,
} as const satisfies Record<string, (text: string) => string>;

/** One line for each interface, in order of their MACs, and one of the network's CIDRs. Throws CloudError as Imds does. */
export async function glance(imds: Imds, primaryMac: MacAddress, signal: AbortSignal): Promise<string> {
  const macs = await imds.get(MACS, parseMacs, signal);
  const lines = await Promise.all(macs.map((mac) => interfaceLine(imds, mac, signal)));
  return [...lines, `network ${await networkLine(imds, primaryMac, signal)}`].join("\n");
}

/** The network's CIDRs as text, sorted; empty when the metadata has none yet. */
export async function networkLine(imds: Imds, mac: MacAddress, signal: AbortSignal): Promise<string> {
  const lists = await Promise.all(
    ["vpc-ipv4-cidr-blocks", "vpc-ipv6-cidr-blocks"].map((key) =>
      imds.find(`${MACS}${mac}/${key}`, cidrs, signal),
    ),
  );
  return lists.filter((list) => list !== undefined).join(" ");
}

/** The same text of CIDRs that are known otherwise, to compare. */
export function networkText(known: readonly Cidr[]): string {
  return [4, 6]
    .map((family) => sortedText(known.filter((cidr) => cidr.family === family)))
    .filter((text) => text !== "")
    .join(" ");
}

async function interfaceLine(imds: Imds, mac: MacAddress, signal: AbortSignal): Promise<string> {
  const values = await Promise.all(
    Object.entries(FACTS).map(([key, parse]) => imds.find(`${MACS}${mac}/${key}`, parse, signal)),
  );
  return [mac, ...values.map((value) => value ?? "-")].join(" ");
}

function parseMacs(text: string): MacAddress[] {
  return lines(text)
    .map((line) => parseMac(line.replace(/\/$/, "")))
    .sort();
}

function cidrs(text: string): string {
  return sortedText(lines(text).map((line) => Cidr.parse(line)));
}

function sortedText(list: readonly Cidr[]): string {
  return [...list].sort((a, b) => a.compare(b)).join(",");
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
