import { SMALL_SUBNET, SUBNET_A } from "../cloudsim/aws/testing.ts";
import { AwsLab } from "./aws.ts";
import { type ProviderHarness, providerConformance } from "./provider.ts";

/** More often than the SDK repeats a call by itself. */
const ALWAYS = 10;

providerConformance("aws", async (): Promise<ProviderHarness> => {
  const lab = await AwsLab.start({ launch: { type: "m5.4xlarge", ipv4: { addressCount: 1 } } });
  const { faults } = lab.ec2;
  const other = await lab.ec2.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
  return {
    open: () => lab.open(),
    subnetId: SUBNET_A,
    smallSubnetId: SMALL_SUBNET,
    exhaust: (subnetId) => lab.exhaust(subnetId),
    strangerId: await lab.attachStranger(),
    openOther: () => lab.open({}, other),
    terminateOther: () => lab.ec2.terminateInstance(other),
    later: (ms) => lab.clock.shift(ms),
    createSteps: ["CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"],
    deleteSteps: ["DetachNetworkInterface", "DeleteNetworkInterface"],
    attachStep: "AttachNetworkInterface",
    assignStep: "AssignPrivateIpAddresses",
    describeStep: "DescribeNetworkInterfaces",
    breakSecondRelease: () => faults.fail("UnassignIpv6Addresses", "InternalError", ALWAYS, 500),
    loseReply: (action) => faults.loseReply(action, ALWAYS),
    breakDown: (action) => faults.fail(action, "InternalError", ALWAYS, 500),
    heal: () => faults.clear(),
    interfaceIds: () => lab.interfaceIds(),
    close: () => lab.close(),
  };
});
