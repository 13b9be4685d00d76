import { type Account, type Action, Ec2Error, type Ec2ErrorCode, GO_SDK_RETRIES } from "../account.ts";
import type { Ec2, SimInstance, SimInterface } from "../ec2.ts";
import type { Random } from "../random.ts";
import type { VirtualClock } from "../virtual-clock.ts";

/** Units by first address. */
export type Units = { readonly singles: readonly number[]; readonly prefixes: readonly number[] };

/** Detach and delete are tried so often (`maxENIEC2APIRetries`). */
const DETACH_TRIES = 12;
/** Pause between them: EC2 takes a while to detach. */
const AFTER_DETACH_MS = 2_000;
const METADATA_POLL = { tries: 12, firstMs: 100, maxMs: 60_000 } as const;

/**
 * The requests that amazon-vpc-cni makes of EC2 (pkg/awsutils/awsutils.go), for one node. Reading the instance's metadata costs none. Left out, which is to
 * its advantage: DescribeSubnets before an interface is created and at start, and setting the security groups of each interface at start.
 */
export class VpcCniCalls {
  private readonly account: Account;
  private readonly ec2: Ec2;
  private readonly clock: VirtualClock;
  private readonly random: Random;
  private readonly instance: SimInstance;
  /** When the instance's metadata and devices show an interface. */
  private readonly showsAt = new Map<SimInterface, number>();

  constructor(options: {
    readonly account: Account;
    readonly ec2: Ec2;
    readonly clock: VirtualClock;
    readonly random: Random;
    readonly instance: SimInstance;
  }) {
    this.account = options.account;
    this.ec2 = options.ec2;
    this.clock = options.clock;
    this.random = options.random;
    this.instance = options.instance;
  }

  /** What the metadata service lists now. */
  attached(): SimInterface[] {
    const now = this.clock.now();
    return [...this.instance.interfaces].filter(
      (one) => one.deviceIndex !== undefined && (this.showsAt.get(one) ?? 0) <= now,
    );
  }

  describe(): Promise<void> {
    return this.call("DescribeNetworkInterfaces", () => undefined);
  }

  tag(): Promise<void> {
    return this.call("CreateTags", () => undefined);
  }

  assign(one: SimInterface, count: number, asPrefixes: boolean): Promise<Units> {
    return this.call("AssignPrivateIpAddresses", () => {
      const given = this.ec2.assign(
        one,
        asPrefixes ? { singles: 0, blocks: count } : { singles: count, blocks: 0 },
      );
      return { singles: given.singles, prefixes: given.blocks };
    });
  }

  unassign(one: SimInterface, units: Units): Promise<void> {
    return this.call("UnassignPrivateIpAddresses", () =>
      this.ec2.unassign(one, units.singles, units.prefixes),
    );
  }

  /** Creates, attaches, sets delete-on-termination, and waits until metadata shows it. Rejects when one of these fails; what is left then is as it leaves it. */
  async allocate(count: number, asPrefixes: boolean): Promise<SimInterface> {
    const units = asPrefixes ? { singles: 0, blocks: count } : { singles: count, blocks: 0 };
    const one = await this.call("CreateNetworkInterface", () => this.ec2.create(this.instance, units, ""));
    try {
      await this.call("DescribeInstances", () => undefined);
      await this.call("AttachNetworkInterface", () => this.ec2.attach(one));
    } catch (error) {
      await this.delete(one).catch(() => undefined);
      throw error;
    }
    this.showsAt.set(one, this.clock.now() + this.account.deviceDelayMs());
    try {
      await this.call("ModifyNetworkInterfaceAttribute", () => undefined);
    } catch (error) {
      await this.free(one).catch(() => undefined);
      throw error;
    }
    await this.untilMetadataShows(one);
    return one;
  }

  /** Detaches and deletes (`FreeENI`). */
  async free(one: SimInterface): Promise<void> {
    await this.describe();
    await this.persist("DetachNetworkInterface", 200, () => this.ec2.detach(one));
    await this.clock.sleep(AFTER_DETACH_MS);
    await this.delete(one);
  }

  private delete(one: SimInterface): Promise<void> {
    return this.persist("DeleteNetworkInterface", 500, () => this.ec2.delete(one));
  }

  private async untilMetadataShows(one: SimInterface): Promise<void> {
    let pauseMs: number = METADATA_POLL.firstMs;
    for (let tries = 0; tries < METADATA_POLL.tries; tries += 1) {
      if ((this.showsAt.get(one) ?? 0) <= this.clock.now()) return;
      await this.clock.sleep(pauseMs * (1 + 0.15 * this.random.next()));
      pauseMs = Math.min(METADATA_POLL.maxMs, pauseMs * 2);
    }
    throw new Error("metadata does not show the interface");
  }

  /** Its own retries, around those of the SDK. */
  private async persist(action: Action, firstMs: number, act: () => void): Promise<void> {
    let pauseMs = firstMs;
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.call(action, act);
      } catch (error) {
        if (tries >= DETACH_TRIES) throw error;
      }
      await this.clock.sleep(pauseMs * (1 + 0.15 * this.random.next()));
      pauseMs = Math.min(60_000, pauseMs * 2);
    }
  }

  private call<T>(action: Action, act: () => T): Promise<T> {
    return this.account.call(action, GO_SDK_RETRIES, act);
  }
}

export function hasEc2Code(error: unknown, ...codes: readonly Ec2ErrorCode[]): boolean {
  return error instanceof Ec2Error && codes.includes(error.code);
}
