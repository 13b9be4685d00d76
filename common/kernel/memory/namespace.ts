/**
 * A network namespace in memory, with the kernel's rules of what goes with what: a link takes its addresses, neighbours and unicast
 * routes along; a link set down loses all of them but IPv4 addresses; IPv4 routes go without an event.
 */
import type { Family } from "../../ip.ts";
import type { LinkAddress, Neighbour } from "../addresses.ts";
import { KernelError } from "../errors.ts";
import type { KernelEvent } from "../events.ts";
import type { Link } from "../links.ts";
import type { Route } from "../routes.ts";
import type { Rule } from "../rules.ts";

export type MemoryLink = Link & {
  /** The other end of a pair, wherever it is. */
  readonly peer?: { readonly namespace: MemoryNamespace; readonly index: number };
};

type Emit = (event: KernelEvent) => void;

const KERNEL_PROTOCOL = 2;

/** Its state, to be changed through the stack's doors; tests may look. */
export class MemoryNamespace {
  readonly id: string;
  readonly links = new Map<number, MemoryLink>();
  readonly sysctls = new Map<string, string>();
  addresses: LinkAddress[] = [];
  neighbours: Neighbour[] = [];
  routes: Route[] = [];
  rules: Rule[] = ([4, 6] as const).flatMap(defaultRules);
  private readonly emit: Emit;
  private lastIndex = 1;

  /** @param emit what the namespace's watchers are told; nobody is when it is left out */
  constructor(id: string, emit: Emit = () => undefined) {
    this.id = id;
    this.emit = emit;
    this.links.set(1, { index: 1, name: "lo", mtuBytes: 65_536, up: true, group: 0 });
  }

  /** Adds a link, and says so. Throws EEXIST when the name is taken, ERANGE when it is too long. */
  addLink(link: Omit<MemoryLink, "index">): MemoryLink {
    this.requireFreeName(link.name);
    this.lastIndex += 1;
    const added = { ...link, index: this.lastIndex };
    this.links.set(added.index, added);
    this.emit({ kind: "link", change: "set", link: publicLink(added) });
    return added;
  }

  /** Throws EEXIST when a link has that name, ERANGE when it has 16 bytes or more. */
  requireFreeName(name: string): void {
    if (Buffer.byteLength(name) > 15) throw new KernelError("ERANGE", `link name ${name} is too long`);
    if (this.findLink(name) !== undefined) throw new KernelError("EEXIST", `link ${name} exists`);
  }

  findLink(ref: number | string): MemoryLink | undefined {
    if (typeof ref === "number") return this.links.get(ref);
    return [...this.links.values()].find((link) => link.name === ref);
  }

  /** Throws ENODEV. */
  getLink(ref: number | string): MemoryLink {
    const link = this.findLink(ref);
    if (link === undefined) throw new KernelError("ENODEV", `no link ${ref}`);
    return link;
  }

  /** Puts a changed link in the place of the old one, with what going down takes along. */
  putLink(link: MemoryLink): void {
    const before = this.links.get(link.index);
    this.links.set(link.index, link);
    if (before?.up && !link.up) {
      this.dropWithLink(link.index, ({ address }) => address.family === 6);
    }
    this.emit({ kind: "link", change: "set", link: publicLink(link) });
  }

  /** Removes a link and the other end of its pair. Repeatable. */
  removeLink(index: number): void {
    const link = this.links.get(index);
    if (link === undefined) return;
    this.links.delete(index);
    this.dropWithLink(index, () => true);
    for (const path of [...this.sysctls.keys()].filter((other) => other.includes(`/conf/${link.name}/`))) {
      this.sysctls.delete(path);
    }
    this.emit({ kind: "link", change: "gone", link: publicLink(link) });
    link.peer?.namespace.removeLink(link.peer.index);
  }

  setAddress(address: LinkAddress): void {
    this.addresses = [...this.addresses.filter((other) => !isSameAddress(other, address)), address];
    this.emit({ kind: "address", change: "set", address });
  }

  /** Takes IPv4 routes that prefer it as source along, as the kernel does. False when it was not there. */
  removeAddress(address: LinkAddress): boolean {
    const found = this.addresses.find((other) => isSameAddress(other, address));
    if (found === undefined) return false;
    this.addresses = this.addresses.filter((other) => other !== found);
    this.routes = this.routes.filter((route) => !route.preferredSource?.equals(address.address));
    this.emit({ kind: "address", change: "gone", address: found });
    return true;
  }

  setRoute(route: Route): void {
    this.routes.push(route);
    this.emit({ kind: "route", change: "set", route });
  }

  removeRoute(route: Route): void {
    this.routes = this.routes.filter((other) => other !== route);
    this.emit({ kind: "route", change: "gone", route });
  }

  setRule(rule: Rule): void {
    const after = this.rules.findIndex((other) => other.priority > rule.priority);
    this.rules.splice(after < 0 ? this.rules.length : after, 0, rule);
    this.emit({ kind: "rule", change: "set", family: rule.family, rule });
  }

  removeRule(rule: Rule): void {
    this.rules = this.rules.filter((other) => other !== rule);
    this.emit({ kind: "rule", change: "gone", family: rule.family, rule });
  }

  /** The end of the namespace: every link goes, and with each the other end of its pair. */
  destroy(): void {
    for (const index of [...this.links.keys()]) this.removeLink(index);
  }

  private dropWithLink(index: number, isLost: (address: LinkAddress) => boolean): void {
    this.neighbours = this.neighbours.filter(({ linkIndex }) => linkIndex !== index);
    for (const route of this.routes.filter(({ linkIndex }) => linkIndex === index)) {
      if (route.destination.family === 6) this.removeRoute(route);
      // no RTM_DELROUTE comes for these
      else this.routes = this.routes.filter((other) => other !== route);
    }
    const lost = this.addresses.filter((address) => address.linkIndex === index && isLost(address));
    for (const address of lost) this.removeAddress(address);
  }
}

/** A link without what only the fake knows of it. */
export function publicLink({ peer, ...link }: MemoryLink): Link {
  if (peer === undefined) return link;
  const isPeerUp = peer.namespace.links.get(peer.index)?.up === true;
  return { ...link, peerIndex: peer.index, carries: link.up && isPeerUp };
}

function isSameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.linkIndex === b.linkIndex && a.prefixLength === b.prefixLength && a.address.equals(b.address);
}

function defaultRules(family: Family): Rule[] {
  const rules = [
    { family, priority: 0, table: 255, protocol: KERNEL_PROTOCOL },
    { family, priority: 32_766, table: 254, protocol: KERNEL_PROTOCOL },
  ];
  const last = { family, priority: 32_767, table: 253, protocol: KERNEL_PROTOCOL };
  return family === 4 ? [...rules, last] : rules;
}
