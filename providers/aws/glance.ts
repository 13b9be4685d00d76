/**
 * What the metadata service shows of this node's network, as one text: free of EC2's rate limits, so it may be looked at often. A hint and no more:
 * it lags behind EC2, in both directions, and only says that it is time to ask.
 */
import { type MacAddress, parseMac } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import type { Subnet } from "../provider.ts";
import { type Imds, matching } from "./imds.ts";

const MACS = "meta-data/network/interfaces/macs/";

/** What is read of each interface, in this order. Empty lists have no key: 404 is empty. */
const FACTS = {
  "interface-id": matching(/^eni-[0-9a-f]+$/),
  "device-number": matching(/^\d+$/),
  "local-ipv4s": cidrText,
  "ipv4-prefix": cidrText,
  ipv6s: cidrText,
  "ipv6-prefix": cidrText,
} as const satisfies Record<string, (text: string) => string>;

/** One line for each interface, in order of their MACs, and one of the network's CIDRs. Throws CloudError as Imds does. */
export async function glance(imds: Imds, primaryMac: MacAddress, signal: AbortSignal): Promise<string> {
  const macs = await imds.get(MACS, parseMacs, signal);
  const lines = await Promise.all(macs.map((mac) => interfaceLine(imds, mac, signal)));
  return [...lines, `network ${networkText(await hintedNetwork(imds, primaryMac, signal))}`].join("\n");
}

/** The network's CIDRs, sorted; empty when the metadata has none yet. */
export async function hintedNetwork(
  imds: Imds,
  mac: MacAddress,
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  const lists = await Promise.all([
    imds.find(`${MACS}${mac}/vpc-ipv4-cidr-blocks`, parseCidrs, signal),
    imds.find(`${MACS}${mac}/vpc-ipv6-cidr-blocks`, parseCidrs, signal),
  ]);
  return lists.flatMap((list) => list ?? []).sort((a, b) => a.compare(b));
}

/** The ranges of an interface's subnet, each as far as the metadata has it. */
export async function hintedRanges(
  imds: Imds,
  mac: MacAddress,
  signal: AbortSignal,
): Promise<Pick<Subnet, "ipv4" | "ipv6">> {
  const [[ipv4] = [], [ipv6] = []] = await Promise.all([
    imds.find(`${MACS}${mac}/subnet-ipv4-cidr-block`, parseCidrs, signal),
    imds.find(`${MACS}${mac}/subnet-ipv6-cidr-blocks`, parseCidrs, signal),
  ]);
  return { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
}

/** CIDRs as one text, to compare: sorted, IPv4 first. */
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

function parseCidrs(text: string): Cidr[] {
  return lines(text).map((line) => Cidr.parse(line));
}

function cidrText(text: string): string {
  return sortedText(parseCidrs(text));
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
