/** What tests of the embedded EC2 share: a network with two zones, a data plane that remembers, and official clients. */
import { EC2Client } from "@aws-sdk/client-ec2";
import type { SubnetId } from "../../../common/ids.ts";
import { Cidr } from "../../../common/ip.ts";
import type { DataPlane, NetworkSpec } from "../data-plane.ts";
import type { Credentials } from "./credentials.ts";
import { type Ec2, type Ec2Options, startEc2 } from "./ec2.ts";
import { ALLOW_ALL } from "./iam.ts";

export const SUBNET_A = "subnet-0a" as SubnetId;
export const SUBNET_B = "subnet-0b" as SubnetId;
/** A /28 of zone a: 11 addresses, and no /28 that is free. */
export const SMALL_SUBNET = "subnet-0c" as SubnetId;

export const TEST_NETWORK: NetworkSpec = {
  id: "vpc-01",
  cidrs: [Cidr.parse("10.0.0.0/16"), Cidr.parse("100.64.0.0/16"), Cidr.parse("2001:db8::/56")],
  subnets: [
    {
      id: SUBNET_A,
      zone: "eu-west-1a",
      ipv4: Cidr.parse("10.0.0.0/24"),
      ipv6: Cidr.parse("2001:db8:0:a::/64"),
    },
    {
      id: SUBNET_B,
      zone: "eu-west-1b",
      ipv4: Cidr.parse("10.0.1.0/24"),
      ipv6: Cidr.parse("2001:db8:0:b::/64"),
    },
    {
      id: SMALL_SUBNET,
      zone: "eu-west-1a",
      ipv4: Cidr.parse("10.0.2.0/28"),
      ipv6: Cidr.parse("2001:db8:0:c::/64"),
    },
  ],
};

/** Remembers calls as text, in order, and what each interface receives now. */
export class RecordingDataPlane implements DataPlane {
  readonly events: string[] = [];
  readonly delivered = new Map<string, string[]>();

  plug({ interfaceId, instance, linkName }: Parameters<DataPlane["plug"]>[0]): void {
    this.events.push(`plug ${interfaceId} ${instance} ${linkName}`);
  }

  unplug(interfaceId: string): void {
    this.events.push(`unplug ${interfaceId}`);
    this.delivered.delete(interfaceId);
  }

  deliver(interfaceId: string, units: readonly Cidr[]): void {
    this.events.push(`deliver ${interfaceId}`);
    this.delivered.set(interfaceId, units.map(String));
  }

  publish(publicAddress: string, privateAddress: string): void {
    this.events.push(`publish ${publicAddress} ${privateAddress}`);
  }
}

/** An EC2 with the test network that allows everything and attaches at once, unless the options say otherwise. */
export function startTestEc2(options: Partial<Ec2Options> = {}): Promise<Ec2> {
  return startEc2({ network: TEST_NETWORK, policy: ALLOW_ALL, attachMs: 0, detachMs: 0, ...options });
}

/** The official client: one attempt, so that a test sees the first answer. */
export function newClient(
  cloud: Ec2,
  credentials: Credentials = cloud.administrator,
  options: { readonly systemClockOffset?: number; readonly maxAttempts?: number } = {},
): EC2Client {
  const { endpoint, region } = cloud;
  return new EC2Client({ endpoint, region, credentials, maxAttempts: 1, ...options });
}

/** The code of the error that a call ends with, or `ok`. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

/** Asserts at run time that a field of a reply is there. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a field that should be there is not");
  return value;
}
