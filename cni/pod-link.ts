import { hash } from "node:crypto";
import { POD_LINK_PREFIX } from "../common/constants.ts";
import { type Attachment, attachmentKey, type MacAddress, parseMac } from "../common/ids.ts";
import { IpAddress } from "../common/ip.ts";

/** What a pod's veth pair is called, and its hardware addresses: functions of the attachment alone. */
export type PodLink = {
  readonly hostName: string;
  readonly hostMac: MacAddress;
  readonly podMac: MacAddress;
};

/**
 * The pair of an attachment. The name is found without a dump, and two sandboxes of one pod name never share it: it hashes the
 * container id, not the pod (48 bits; a collision makes the second ADD fail, it never takes over the first one's link).
 */
export function podLink(attachment: Attachment): PodLink {
  const known = made.get(attachment);
  if (known !== undefined) return known;
  const link = makePodLink(attachment);
  made.set(attachment, link);
  return link;
}

/** A call asks for its link half a dozen times, and hashing is dear. */
const made = new WeakMap<Attachment, PodLink>();

function makePodLink(attachment: Attachment): PodLink {
  const digest = hash("sha256", attachmentKey(attachment), "buffer");
  return {
    hostName: POD_LINK_PREFIX + digest.toString("hex", 0, 6),
    hostMac: localMac(digest.subarray(8, 13)),
    podMac: localMac(digest.subarray(16, 21)),
  };
}

/** True for a name that podLink() can give. */
export function isPodLinkName(name: string): boolean {
  return new RegExp(`^${POD_LINK_PREFIX}[0-9a-f]{12}$`).test(name);
}

/** A unicast, locally administered address (IEEE 802 section 8.2.2: second-lowest bit of the first byte). */
function localMac(five: Uint8Array): MacAddress {
  return parseMac(
    Buffer.from([0x02, ...five])
      .toString("hex")
      .replace(/(..)(?=.)/g, "$1:"),
  );
}

/** The link-local address that RFC 4291 appendix A makes of a MAC: fe80::/64 with the modified EUI-64. */
export function linkLocalOf(mac: MacAddress): IpAddress {
  const bytes = Buffer.from(mac.replaceAll(":", ""), "hex");
  const eui = Buffer.concat([bytes.subarray(0, 3), Buffer.from([0xff, 0xfe]), bytes.subarray(3)]);
  eui[0] = (eui[0] ?? 0) ^ 0x02;
  return IpAddress.fromBytes(Buffer.concat([Buffer.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0]), eui]));
}
