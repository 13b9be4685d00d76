import type { SubnetId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { FakeCloud, type FakeOperation } from "../../providers/fake/cloud.ts";
import { FakeNetwork } from "../../providers/fake/provider.ts";
import { type ProviderHarness, providerConformance } from "./provider.ts";
import { ShiftedClock } from "./shifted-clock.ts";

const subnets = [
  {
    id: "subnet-a" as SubnetId,
    zone: "fake-1a",
    ipv4: Cidr.parse("10.0.0.0/24"),
    ipv6: Cidr.parse("2001:db8:0:a::/64"),
  },
  {
    id: "subnet-small" as SubnetId,
    zone: "fake-1a",
    ipv4: Cidr.parse("10.0.1.0/28"),
    ipv6: Cidr.parse("2001:db8:0:b::/64"),
  },
];

providerConformance("fake", async (): Promise<ProviderHarness> => {
  const clock = new ShiftedClock();
  const cloud = new FakeCloud({ subnets, clock });
  const capabilities = { cards: [{ index: 0, interfacesMax: 5 }] };
  const instance = cloud.launch({ secondary: 1, capabilities });
  const stranger = cloud.attachStranger(instance);
  const other = cloud.launch();
  return {
    open: () => new FakeNetwork(cloud, instance),
    subnetId: "subnet-a" as SubnetId,
    smallSubnetId: "subnet-small" as SubnetId,
    exhaust: (id) => cloud.exhaust(id),
    strangerId: stranger.id,
    openOther: () => new FakeNetwork(cloud, other),
    terminateOther: () => cloud.terminate(other),
    later: (ms) => clock.shift(ms),
    createSteps: ["create", "attach"],
    deleteSteps: ["detach", "delete"],
    attachStep: "attach",
    assignStep: "assign",
    describeStep: "describe",
    breakSecondRelease: () => cloud.failNext("release", { code: "unavailable", skip: 1 }),
    loseReply: (step) => cloud.failNext(step as FakeOperation, { code: "unavailable", when: "after" }),
    breakDown: (step) => cloud.failNext(step as FakeOperation, { code: "unavailable" }),
    heal: () => cloud.clearFaults(),
    interfaceIds: () => cloud.now().map((one) => one.id),
    close: async () => undefined,
  };
});
