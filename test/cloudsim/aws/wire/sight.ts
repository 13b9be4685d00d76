import type { Account } from "../model/account.ts";
import { noSuchInterface } from "../model/ec2-error.ts";
import type { Instance, NetworkInterface } from "../model/resources.ts";

/** What one describe sees of the account: the truth, or the past when the account is stale. */
export class Sight {
  readonly account: Account;
  /** In order of creation. */
  readonly interfaces: readonly NetworkInterface[];

  constructor(account: Account) {
    this.account = account;
    this.interfaces = account.staleness.seen().filter((one) => account.isVisible(one));
  }

  /** Throws EC2's NotFound and Malformed. */
  getInterface(id: string): NetworkInterface {
    const found = this.interfaces.find((one) => one.id === id);
    if (found === undefined) throw noSuchInterface(id);
    return found;
  }

  interfacesOf({ id }: Instance): readonly NetworkInterface[] {
    return this.interfaces.filter(({ attachment }) => attachment?.instanceId === id);
  }
}
