/**
 * What ADD gives back (CNI specification 1.1.0, section 5, "Success"), kept in one form and printed in the shape of the version
 * that the configuration asks for. Differences by version: peers' release notes and the specification's own tags 0.3.0 to 1.1.0.
 */
import { POD_GATEWAY_IPV4, POD_GATEWAY_IPV6 } from "../common/constants.ts";
import type { MacAddress } from "../common/ids.ts";
import { Cidr, type Family, IpAddress } from "../common/ip.ts";
import type { Lease } from "./ipam.ts";
import { NO_RESULT, type PrevResult, printPrevResult } from "./prev-result.ts";

/** The versions of the specification that we speak, oldest first: what VERSION and the conflist say. */
export const RESULT_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type ResultVersion = (typeof RESULT_VERSIONS)[number];

export type ResultInterface = {
  readonly name: string;
  readonly mac: MacAddress;
  /** Printed from 1.1.0 on. */
  readonly mtuBytes: number;
  /** Path of the namespace; absent for a link of the host. */
  readonly sandbox?: string;
};

export type ResultAddress = {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly gateway: IpAddress;
  /** Index into `interfaces`. Runtimes look here for the container's interface, not the host's end. */
  readonly interface: number;
};

export type ResultRoute = { readonly destination: Cidr; readonly gateway: IpAddress };

export type CniResult = {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultAddress[];
  readonly routes: readonly ResultRoute[];
};

/** The result of a pod that holds `lease`: host link first, then the pod's, which the addresses point to. */
export function podResult(
  lease: Lease,
  host: { readonly name: string; readonly mac: MacAddress },
  pod: { readonly name: string; readonly mac: MacAddress; readonly netns: string },
): CniResult {
  const addresses = [lease.ipv4, lease.ipv6].filter((address) => address !== undefined);
  return {
    interfaces: [
      { name: host.name, mac: host.mac, mtuBytes: lease.mtuBytes },
      { name: pod.name, mac: pod.mac, mtuBytes: lease.mtuBytes, sandbox: pod.netns },
    ],
    ips: addresses.map((address) => ({
      address,
      prefixLength: address.family === 4 ? 32 : 128,
      gateway: GATEWAYS[address.family],
      interface: 1,
    })),
    routes: addresses.map(({ family }) => ({
      destination: DEFAULT_ROUTES[family],
      gateway: GATEWAYS[family],
    })),
  };
}

/** The document for stdout: what earlier plugins of the chain gave, then ours. */
export function printResult(result: CniResult, version: ResultVersion, prev: PrevResult = NO_RESULT): object {
  const before = printPrevResult(prev, version);
  const shift = before.interfaces.length;
  return {
    cniVersion: version,
    ...prev.others,
    interfaces: [...before.interfaces, ...result.interfaces.map((link) => printInterface(link, version))],
    ips: [...before.ips, ...result.ips.map((ip) => printAddress(ip, version, shift))],
    routes: [
      ...before.routes,
      ...result.routes.map((route) => ({
        dst: route.destination.toString(),
        gw: route.gateway.toString(),
      })),
    ],
  };
}

const GATEWAYS: Readonly<Record<Family, IpAddress>> = {
  4: IpAddress.parse(POD_GATEWAY_IPV4),
  6: IpAddress.parse(POD_GATEWAY_IPV6),
};
const DEFAULT_ROUTES: Readonly<Record<Family, Cidr>> = {
  4: Cidr.parse("0.0.0.0/0"),
  6: Cidr.parse("::/0"),
};

function printInterface(link: ResultInterface, version: ResultVersion): object {
  return {
    name: link.name,
    mac: link.mac,
    ...(version === "1.1.0" && { mtu: link.mtuBytes }),
    ...(link.sandbox !== undefined && { sandbox: link.sandbox }),
  };
}

/** Before 1.0.0 every address says its family. */
function printAddress(ip: ResultAddress, version: ResultVersion, shift: number): object {
  return {
    ...(version.startsWith("0.") && { version: String(ip.address.family) }),
    address: `${ip.address}/${ip.prefixLength}`,
    gateway: ip.gateway.toString(),
    interface: ip.interface + shift,
  };
}
