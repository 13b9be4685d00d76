/** What instances of a type can carry, asked without being on one: from the table, else of EC2. */
import { describeError } from "../../common/errors.ts";
import { slipsBetween } from "../../common/slips.ts";
import { CloudError } from "../errors.ts";
import type { CloudOptions } from "../options.ts";
import type { InstanceTypeFacts } from "../provider.ts";
import { instanceType as askInstanceType } from "./api-network.ts";
import { Ec2Client } from "./client.ts";
import { credentialSource } from "./credentials.ts";
import { Imds } from "./imds.ts";
import { findInstanceType, instanceTypeNames, vcpusOfSize } from "./instance-types.ts";
import { readCapabilities } from "./limits.ts";

/** A person waits, who may be nowhere near EC2. */
const DEADLINE_MS = 10_000;
const SLIPS_MAX = 3;
const NEAR_MAX = 5;

/**
 * EKS limits its managed nodes so ("Choose an optimal Amazon EC2 node instance type", How maxPods is determined, docs.aws.amazon.com/eks, read
 * 2026-11-25): 110 pods on instances with less than 30 vCPUs, else 250.
 */
export function podsAdvised(vcpus: number): number {
  return vcpus < 30 ? 110 : 250;
}

/** Throws CloudError: `not-found` for a type that EC2 does not know; that of the call when EC2 cannot be asked. Both name types that are like it. */
export async function describeInstanceType(name: string, options: CloudOptions): Promise<InstanceTypeFacts> {
  const known = findInstanceType(name);
  if (known !== undefined)
    return {
      instanceType: name,
      capabilities: known,
      podsAdvised: podsAdvised(vcpusOfSize(name.split(".")[1] ?? "")),
    };
  try {
    return await ask(name, options);
  } catch (error) {
    throw unknownType(name, error);
  }
}

async function ask(name: string, options: CloudOptions): Promise<InstanceTypeFacts> {
  const { clock, metrics, endpoint, metadataEndpoint } = options;
  const imds = new Imds({ clock, ...(metadataEndpoint && { endpoint: metadataEndpoint }), attemptsMax: 1 });
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const ec2 = new Ec2Client({
    region: options.region ?? (async () => (await imds.identity(signal)).region),
    credentials: credentialSource(options.credentials ?? { from: "instance" }, imds),
    clock,
    metrics,
    ...(endpoint && { endpoint }),
  });
  try {
    const info = await askInstanceType(ec2, name, signal);
    return {
      instanceType: name,
      capabilities: readCapabilities(info),
      podsAdvised: podsAdvised(info.VCpuInfo?.DefaultVCpus ?? 0),
    };
  } finally {
    ec2.close();
  }
}

function unknownType(name: string, error: unknown): CloudError {
  const operation = "DescribeInstanceTypes";
  const near = nearest(name);
  const hint = near.length === 0 ? "" : `; like it are ${near.join(", ")}`;
  const cause = error instanceof CloudError ? error : undefined;
  if (cause?.code === "invalid" || cause?.code === "not-found")
    return new CloudError("not-found", `EC2 has no instance type ${name}${hint}`, { operation });
  const message = `instance type ${name} is not in the built-in table, and EC2 could not be asked (${describeError(error)})${hint}`;
  return new CloudError(cause?.code ?? "unavailable", message, { operation });
}

function nearest(name: string): string[] {
  return instanceTypeNames()
    .map((known) => ({ known, slips: slipsBetween(name.slice(0, 40).toLowerCase(), known) }))
    .filter(({ slips }) => slips <= SLIPS_MAX)
    .sort((a, b) => a.slips - b.slips || (a.known < b.known ? -1 : 1))
    .slice(0, NEAR_MAX)
    .map(({ known }) => known);
}
