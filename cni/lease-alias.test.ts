import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ContainerId, PodUid } from "../common/ids.ts";
import { IpAddress } from "../common/ip.ts";
import {
  ALIAS_BYTES_MAX,
  containerIdRoom,
  formatLeaseAlias,
  type LeaseRecord,
  parseLeaseAlias,
} from "./lease-alias.ts";

const record: LeaseRecord = {
  state: "ready",
  attachment: { containerId: "a".repeat(64) as ContainerId, ifname: "eth0" },
  pod: { uid: "0".repeat(36) as PodUid, namespace: "ns1", name: "web-0" },
  ipv4: IpAddress.parse("10.0.0.101"),
  ipv6: IpAddress.parse("2001:db8::101"),
};

describe("a lease's alias", () => {
  it("round-trips", () => {
    expect(parseLeaseAlias(formatLeaseAlias(record))).toEqual(record);
    expect(formatLeaseAlias(record)).toBe(
      `v1|ready|${"a".repeat(64)}|eth0|${"0".repeat(36)}|10.0.0.101|2001:db8::101|ns1/web-0`,
    );
  });

  it("never exceeds what the kernel takes; only the pod's name is cut", () => {
    const letters = fc.constantFrom("a", "b", "-", "0", "|", "%", "7C", "\u00e9", "\u4e16", "\u{1f600}");
    const name = fc.string({ unit: letters, minLength: 1, maxLength: 253 });
    const short = fc.string({ unit: fc.constantFrom("a", "|", "%", "7", "C"), minLength: 1, maxLength: 15 });
    const id = fc.string({ unit: fc.constantFrom("a", "0", "_", "."), minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(
        id,
        name,
        name,
        short,
        short,
        fc.constantFrom("made", "ready", "released"),
        (containerId, namespace, podName, ifname, uid, state) => {
          const long = {
            ...record,
            state: state as LeaseRecord["state"],
            attachment: { containerId: containerId as ContainerId, ifname },
            pod: { uid: uid as PodUid, namespace, name: podName },
          };
          const alias = formatLeaseAlias(long);
          expect(Buffer.byteLength(alias)).toBeLessThanOrEqual(ALIAS_BYTES_MAX);
          expect(parseLeaseAlias(alias)).toMatchObject({
            state,
            attachment: long.attachment,
            pod: { uid },
            ipv4: record.ipv4,
            ipv6: record.ipv6,
          });
        },
      ),
    );
  });

  it("refuses a container id that does not fit, by name and with what would", () => {
    const containerId = "c".repeat(200) as ContainerId;
    expect(() => formatLeaseAlias({ ...record, attachment: { containerId, ifname: "eth0" } })).toThrow(
      /container id "c{200}" has 200 characters; at most 1\d\d can be recorded/,
    );
  });

  it("has room for as many characters as containerIdRoom() says, and no more, beside the longest addresses", () => {
    const uid = "0".repeat(36);
    const room = containerIdRoom("eth|0", uid);
    const format = (length: number) =>
      formatLeaseAlias({
        ...record,
        attachment: { containerId: "c".repeat(length) as ContainerId, ifname: "eth|0" },
        ipv4: IpAddress.parse("255.255.255.255"),
        ipv6: IpAddress.parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
      });
    expect(Buffer.byteLength(format(room))).toBeLessThanOrEqual(ALIAS_BYTES_MAX);
    expect(() => format(room + 1)).toThrow(`at most ${room} can be recorded`);
    expect(containerIdRoom("eth0", "|".repeat(64))).toBe(0);
  });

  it.each([
    "",
    "v2|ready|a|eth0||10.0.0.1||",
    "v1|gone|a|eth0||10.0.0.1||",
    "v1|ready|a|eth0||||",
    "uplink of docker",
    "v1|ready||eth0||10.0.0.1||",
  ])("%j is not one of ours", (alias) => expect(parseLeaseAlias(alias)).toBeUndefined());
});
