/** Several callers at once, through the official SDK, on one small subnet that outsiders fragment: what EC2 gives away it gives once. */
import {
  AssignIpv6AddressesCommand,
  AssignPrivateIpAddressesCommand,
  CreateNetworkInterfaceCommand,
  CreateSubnetCidrReservationCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  type EC2Client,
  EC2ServiceException,
  type NetworkInterface,
  UnassignPrivateIpAddressesCommand,
} from "@aws-sdk/client-ec2";
import fc from "fast-check";
import { describe, it } from "vitest";
import { Cidr, IpAddress } from "../../../common/ip.ts";
import type { Ec2 } from "./ec2.ts";
import { newClient, present, SUBNET_A, startTestEc2 } from "./testing.ts";

/** One call of one of the callers: which, on which of the interfaces, and how many. */
type Step = { readonly kind: number; readonly target: number; readonly count: number };

const steps = fc.array(
  fc.record({ kind: fc.nat(), target: fc.nat(), count: fc.integer({ min: 1, max: 5 }) }),
  { maxLength: 40, size: "max" },
);

const REFUSALS = new Set([
  "InsufficientCidrBlocks",
  "InsufficientFreeAddressesInSubnet",
  "InvalidNetworkInterfaceID.NotFound",
  "InvalidParameterValue",
]);

const singles = (texts: readonly (string | undefined)[]) =>
  texts.map((text) => IpAddress.parse(present(text)).toCidr());
const blocks = (texts: readonly (string | undefined)[]) => texts.map((text) => Cidr.parse(present(text)));

function unitsOf(one: NetworkInterface): Cidr[] {
  return [
    ...singles((one.PrivateIpAddresses ?? []).map(({ PrivateIpAddress }) => PrivateIpAddress)),
    ...singles((one.Ipv6Addresses ?? []).map(({ Ipv6Address }) => Ipv6Address)),
    ...blocks((one.Ipv4Prefixes ?? []).map(({ Ipv4Prefix }) => Ipv4Prefix)),
    ...blocks((one.Ipv6Prefixes ?? []).map(({ Ipv6Prefix }) => Ipv6Prefix)),
  ];
}

async function list(client: EC2Client): Promise<NetworkInterface[]> {
  return (await client.send(new DescribeNetworkInterfacesCommand({}))).NetworkInterfaces ?? [];
}

/** What a step gives away that was not there before. */
async function take(client: EC2Client, { kind, target, count }: Step): Promise<readonly Cidr[]> {
  const all = await list(client);
  const one = all[target % Math.max(all.length, 1)];
  const NetworkInterfaceId = one?.NetworkInterfaceId ?? "eni-0";
  switch (kind % 6) {
    case 0: {
      const request = { SubnetId: SUBNET_A, SecondaryPrivateIpAddressCount: count, Ipv6PrefixCount: 1 };
      const reply = await client.send(new CreateNetworkInterfaceCommand(request));
      return unitsOf(present(reply.NetworkInterface));
    }
    case 1: {
      const request = { NetworkInterfaceId, SecondaryPrivateIpAddressCount: count };
      const reply = await client.send(new AssignPrivateIpAddressesCommand(request));
      return singles((reply.AssignedPrivateIpAddresses ?? []).map((item) => item.PrivateIpAddress));
    }
    case 2: {
      const request = { NetworkInterfaceId, Ipv4PrefixCount: 1 };
      const reply = await client.send(new AssignPrivateIpAddressesCommand(request));
      return blocks((reply.AssignedIpv4Prefixes ?? []).map((item) => item.Ipv4Prefix));
    }
    case 3: {
      const request = { NetworkInterfaceId, Ipv6AddressCount: count };
      return singles(
        (await client.send(new AssignIpv6AddressesCommand(request))).AssignedIpv6Addresses ?? [],
      );
    }
    case 4: {
      const gone = (one?.PrivateIpAddresses ?? []).filter(({ Primary }) => Primary !== true).slice(0, count);
      const PrivateIpAddresses = gone.map(({ PrivateIpAddress }) => present(PrivateIpAddress));
      if (gone.length === 0) return [];
      await client.send(new UnassignPrivateIpAddressesCommand({ NetworkInterfaceId, PrivateIpAddresses }));
      return [];
    }
    default:
      if (count === 1) await client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId }));
      return [];
  }
}

async function tryToTake(client: EC2Client, step: Step): Promise<readonly Cidr[]> {
  try {
    return await take(client, step);
  } catch (error) {
    if (error instanceof EC2ServiceException && REFUSALS.has(error.name)) return [];
    throw error;
  }
}

function checkApart(units: readonly Cidr[]): void {
  const sorted = [...units].sort((a, b) => a.compare(b));
  for (const [index, unit] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next?.overlaps(unit)) throw new Error(`${unit} and ${next} were both given`);
  }
}

async function prepare(seed: number): Promise<Ec2> {
  const cloud = await startTestEc2({ seed });
  const client = newClient(cloud);
  const range = { SubnetId: SUBNET_A, Cidr: "10.0.0.192/27", ReservationType: "prefix" } as const;
  await client.send(new CreateSubnetCidrReservationCommand(range));
  client.destroy();
  cloud.outsideHand.fragment(SUBNET_A, seed % 8);
  return cloud;
}

describe("Addresses and blocks", () => {
  it("are given to one interface only, and blocks never hold an address that is given singly, whoever asks at once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 1000 }), steps, async (seed, history) => {
        const cloud = await prepare(seed);
        const clients = [newClient(cloud), newClient(cloud), newClient(cloud)];
        try {
          for (let at = 0; at < history.length; at += clients.length) {
            const together = history.slice(at, at + clients.length);
            const given = await Promise.all(
              together.map((step, index) => tryToTake(present(clients[index]), step)),
            );
            // what is given at one moment is apart, whatever was given back meanwhile
            const isTakingOnly = together.every(({ kind }) => kind % 6 < 4);
            if (isTakingOnly) checkApart(given.flat());
            checkApart((await list(present(clients[0]))).flatMap(unitsOf));
          }
        } finally {
          for (const client of clients) client.destroy();
          await cloud.close();
        }
      }),
      { numRuns: 20, endOnFailure: true },
    );
  });
});
