/**
 * A lease as it is written on its link: `v1|state|containerId|ifname|podUid|v4|v6|namespace/name` in the host link's ifalias, at most
 * 254 bytes of UTF-8. A bar inside a field is `%7C`, and a percent sign `%25`. The link's life is the lease's life, so the kernel keeps the journal and no file can disagree with it.
 */
import { StringDecoder } from "node:string_decoder";
import { CodedError } from "../common/errors.ts";
import type { Attachment, ContainerId, PodUid } from "../common/ids.ts";
import { IpAddress } from "../common/ip.ts";
import type { PodRef } from "./ipam.ts";

/** Bytes of IFLA_IFALIAS without the terminating NUL; one more is ERANGE (measured on 6.18). */
export const ALIAS_BYTES_MAX = 254;
const LONGEST_IPV4 = "255.255.255.255";
const LONGEST_IPV6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

/** `made`: the ADD has not finished. `ready`: the pod has it. `released`: a DEL has begun. */
export type LeaseState = "made" | "ready" | "released";

export type LeaseRecord = {
  readonly state: LeaseState;
  readonly attachment: Attachment;
  readonly pod: PodRef;
  readonly ipv4?: IpAddress;
  readonly ipv6?: IpAddress;
};

/**
 * The alias of a record. The pod's name is cut when it is too long; nothing else is. Throws CodedError `container-id-too-long`
 * when the rest does not fit, naming the id.
 */
export function formatLeaseAlias(record: LeaseRecord): string {
  const { attachment, pod } = record;
  const needed = [
    "v1",
    record.state,
    attachment.containerId,
    escapeBars(attachment.ifname),
    escapeBars(pod.uid ?? ""),
    record.ipv4?.toString() ?? "",
    record.ipv6?.toString() ?? "",
    "",
  ].join("|");
  // room for the longest state, so that no later state can fail
  const longest = Buffer.byteLength(needed) - record.state.length + "released".length;
  if (longest > ALIAS_BYTES_MAX) {
    throw new CodedError(
      "container-id-too-long",
      `container id ${JSON.stringify(attachment.containerId)} has ${attachment.containerId.length} characters; ` +
        `at most ${attachment.containerId.length - (longest - ALIAS_BYTES_MAX)} can be recorded`,
    );
  }
  const name = pod.name === undefined ? "" : escapeBars(`${pod.namespace ?? ""}/${pod.name}`);
  return needed + firstBytes(name, ALIAS_BYTES_MAX - longest);
}

/** How many characters a container id may have with this interface name and UID, whatever addresses the pod gets: 0 when none has room. */
export function containerIdRoom(ifname: string, uid: string): number {
  const others = ["v1", "released", escapeBars(ifname), escapeBars(uid), LONGEST_IPV4, LONGEST_IPV6, "", ""];
  return Math.max(0, ALIAS_BYTES_MAX - Buffer.byteLength(others.join("|")));
}

/** The record of an alias, or undefined when the text is not one of ours. A cut pod name comes back cut. */
export function parseLeaseAlias(alias: string): LeaseRecord | undefined {
  const [version, state, containerId, ifname, uid, ipv4, ipv6, name = ""] = alias
    .split("|")
    .map(unescapeBars);
  if (version !== "v1" || !isState(state) || !containerId || !ifname) return undefined;
  const v4 = ipv4 ? IpAddress.tryParse(ipv4) : undefined;
  const v6 = ipv6 ? IpAddress.tryParse(ipv6) : undefined;
  if (v4 === undefined && v6 === undefined) return undefined;
  const [namespace, podName] = name.split("/");
  return {
    state,
    attachment: { containerId: containerId as ContainerId, ifname },
    pod: {
      ...(uid ? { uid: uid as PodUid } : {}),
      ...(namespace ? { namespace } : {}),
      ...(podName ? { name: podName } : {}),
    },
    ...(v4 === undefined ? {} : { ipv4: v4 }),
    ...(v6 === undefined ? {} : { ipv6: v6 }),
  };
}

function escapeBars(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("|", "%7C");
}

function unescapeBars(text: string): string {
  return text.replaceAll("%7C", "|").replaceAll("%25", "%");
}

/** As many whole characters as fit. */
function firstBytes(text: string, bytes: number): string {
  // a decoder that waits for the rest of a character leaves out one that was cut
  return new StringDecoder("utf8").write(Buffer.from(text).subarray(0, bytes));
}

function isState(text: string | undefined): text is LeaseState {
  return text === "made" || text === "ready" || text === "released";
}
