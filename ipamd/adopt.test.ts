import { beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId, parseMac } from "../common/ids.ts";
import { Cidr, IpAddress } from "../common/ip.ts";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import type { CloudInterface } from "../providers/provider.ts";
import { testTable } from "../test/conformance/nft-table.ts";
import { poolParts } from "../test/pool-parts.ts";

const MAC = parseMac("02:00:00:00:00:01");
const ID = "eni-1" as InterfaceId;
const never = new AbortController().signal;
/** Blocks `10.N.0.0/28`. */
const blocks = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => Cidr.parse(`10.${from + index}.0.0/28`));

let kernel: MemoryKernel;
let parts: ReturnType<typeof poolParts>;
let lists: number;

beforeEach(async () => {
  kernel = new MemoryKernel();
  await kernel.nft.load(testTable);
  kernel.hostNamespace.addLink({ name: "eth0", mac: MAC, mtuBytes: 9001, up: true, group: 0 });
  parts = poolParts({ kernel, clock: new SteppedClock() });
  const { addresses } = kernel.host;
  const list = addresses.list.bind(addresses);
  lists = 0;
  addresses.list = (linkIndex) => {
    lists += 1;
    return list(linkIndex);
  };
});

function hear(units: readonly Cidr[], state: CloudInterface["state"] = "attached"): Promise<void> {
  const one: CloudInterface = {
    id: ID,
    mac: MAC,
    subnet: { id: "subnet-1" as CloudInterface["subnet"]["id"], zone: "a" },
    isPrimary: true,
    ownership: "shared",
    state,
    cardIndex: 0,
    own: [],
    units,
    foreignUnits: [],
    gateways: {},
    poolKey: DEFAULT_POOL,
  };
  return parts.adoption.adopt({ interfaces: [one], networkCidrs: [] }, never);
}

describe("Adoption", () => {
  it("goes on giving addresses of an uplink that a list still says is being attached", async () => {
    await hear(blocks(0, 2));
    await hear(blocks(0, 2), "attaching");
    expect(parts.pool.unitsAside(1)).toEqual([]);
    await hear(blocks(0, 2), "detaching");
    expect(parts.pool.unitsAside(1)).toHaveLength(2);
  });

  it("lists the host's addresses once for all units that the cloud names, and not for those that it holds", async () => {
    await hear(blocks(0, 45));
    expect([parts.pool.units(1).length, lists]).toEqual([45, 1]);
    await hear(blocks(0, 45));
    expect(lists).toBe(1);
  });

  it("lists them once for all units that the cloud has just given, and holds none that the host has", async () => {
    await hear(blocks(0, 1));
    kernel.host.addresses.add({ linkIndex: 1, address: IpAddress.parse("10.9.0.3"), prefixLength: 32 });
    lists = 0;
    parts.adoption.holdUnits(ID, blocks(1, 45));
    expect([parts.pool.units(1).length, lists]).toEqual([45, 1]);
    expect(parts.pool.units(1).map(String)).not.toContain("10.9.0.0/28");
  });
});
