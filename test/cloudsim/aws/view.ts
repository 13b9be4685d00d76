import type { Account } from "./model/account.ts";
import { unitsOf } from "./model/resources.ts";
import { freeIpv4Count } from "./model/subnet-addresses.ts";

/** Instances, interfaces with their units, and subnets with what is free, one a line. */
export function accountView(account: Account): string {
  const instances = [...account.instances.values()].map(
    ({ id, name, type, state }) => `instance ${id} ${name} ${type.name} ${state}`,
  );
  const interfaces = [...account.interfaces.values()].map((networkInterface) => {
    const { id, mac, subnet, attachment, tags } = networkInterface;
    const place =
      attachment === undefined
        ? "available"
        : `${attachment.status} ${attachment.instanceId} card ${attachment.cardIndex} device ${attachment.deviceIndex}`;
    const tagText = [...tags].map(([key, value]) => `${key}=${value}`).join(",");
    return `interface ${id} ${mac} ${subnet.id} ${place} [${unitsOf(networkInterface).join(" ")}] {${tagText}}`;
  });
  const subnets = account.subnets.map(
    (subnet) => `subnet ${subnet.id} ${subnet.zone} ${subnet.ipv4} free ${freeIpv4Count(account, subnet)}`,
  );
  return [...subnets, ...instances, ...interfaces].join("\n");
}
