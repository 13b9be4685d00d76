/**
 * Changes in a namespace, as the kernel tells them to subscribers: rtnetlink's multicast groups, and nftables', whose transactions end
 * with a message that names the process.
 */

import { systemClock } from "../clock.ts";
import { KernelError } from "./errors.ts";
import { nftEventFilter, routeEventFilter } from "./event-filter.ts";
import type { KernelEvent, KernelEvents } from "./events.ts";
import {
  attachFilter,
  close,
  openNetlink,
  type Poll,
  pollReadable,
  receive,
  setBuffers,
  setSocketOption,
} from "./libc.ts";
import {
  decodeAddress,
  decodeGoneNeighbour,
  RTM_DELADDR,
  RTM_DELNEIGH,
  RTM_NEWADDR,
} from "./netlink-addresses.ts";
import { decodeLink, RTM_DELLINK, RTM_NEWLINK } from "./netlink-links.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE, type NetlinkMessage, parseMessages } from "./netlink-message.ts";
import { NFT_GROUPS, nftDecoder } from "./netlink-nft-events.ts";
import { decodeParameters, RTM_NEWNETCONF } from "./netlink-parameters.ts";
import { PeerEvents } from "./netlink-peer-events.ts";
import { decodeRoute, RTM_DELROUTE, RTM_NEWROUTE } from "./netlink-routes.ts";
import { decodeRule, RTM_DELRULE, RTM_NEWRULE } from "./netlink-rules.ts";
import { inNetns } from "./netns-window.ts";
import type { OwnPorts } from "./own-ports.ts";

type Listener = (event: KernelEvent) => void;
/** Events out of one message; a decoder may remember what it saw for the message that ends a transaction. */
type Decoder = (message: NetlinkMessage) => readonly KernelEvent[];

const SOL_NETLINK = 270;
const ADD_MEMBERSHIP = 1;
/** RTNLGRP_* LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE, IPV4_NETCONF, IPV6_NETCONF. */
const ROUTE_GROUPS = [1, 3, 5, 7, 8, 9, 11, 19, 24, 25];
/** 6000 route events while the event loop was blocked fitted. */
const BUFFER_BYTES = 4 << 20;

/** Events of one namespace. The sockets are open while somebody listens. */
export class NetlinkEvents implements KernelEvents {
  private readonly netnsFd: number;
  private readonly own: OwnPorts;
  private readonly listeners = new Set<Listener>();
  private stop: (() => void) | undefined;

  constructor(netnsFd: number, own: OwnPorts) {
    this.netnsFd = netnsFd;
    this.own = own;
  }

  subscribe(listener: Listener): Disposable {
    // a listener given twice is two subscriptions
    const subscriber: Listener = (event) => listener(event);
    this.listeners.add(subscriber);
    this.stop ??= this.start();
    return {
      [Symbol.dispose]: () => {
        if (this.listeners.delete(subscriber) && this.listeners.size === 0) this.close();
      },
    };
  }

  /** Ends every subscription. Repeatable. */
  close(): void {
    this.listeners.clear();
    this.stop?.();
    this.stop = undefined;
  }

  private start(): () => void {
    const emit: Listener = (event) => {
      for (const listener of this.listeners) listener(event);
    };
    const readers = [
      new EventSocket(this.netnsFd, ROUTE_SUBSCRIPTION, this.own, emit),
      new EventSocket(this.netnsFd, nftSubscription(), this.own, emit),
    ];
    const peers = new PeerEvents(this.netnsFd, emit);
    return () => {
      for (const reader of [...readers, peers]) reader.close();
    };
  }
}

/** What a socket is subscribed to. */
type Subscription = {
  readonly protocol: number;
  readonly groups: readonly number[];
  readonly filter: (ownPorts: readonly number[]) => Buffer;
  readonly decode: Decoder;
};

const ROUTE_SUBSCRIPTION: Subscription = {
  protocol: NETLINK_ROUTE,
  groups: ROUTE_GROUPS,
  filter: routeEventFilter,
  decode: routeDecoder,
};

function nftSubscription(): Subscription {
  return {
    protocol: NETLINK_NETFILTER,
    groups: NFT_GROUPS,
    filter: nftEventFilter,
    decode: nftDecoder(),
  };
}

/** Whoever waits for an answer comes first, also for a processor. Events of a moment are read together. */
const GATHER_MS = 5;

/** One subscribed socket, which carries nothing else. Of what this process does itself the kernel brings nothing, and what was under way is passed over. */
class EventSocket {
  private readonly fd: number;
  private readonly subscription: Subscription;
  private readonly own: OwnPorts;
  private readonly emit: Listener;
  private readonly poll: Poll;
  private readonly ports: Disposable;
  private closed = false;

  constructor(netnsFd: number, subscription: Subscription, own: OwnPorts, emit: Listener) {
    const { protocol, groups } = subscription;
    this.fd = inNetns(netnsFd, () => openNetlink(protocol).fd);
    this.subscription = subscription;
    this.own = own;
    this.emit = emit;
    setBuffers(this.fd, BUFFER_BYTES);
    this.dropOwn();
    this.ports = own.watch({ removing: () => this.drain(), changed: () => this.dropOwn() });
    for (const group of groups) setSocketOption(this.fd, SOL_NETLINK, ADD_MEMBERSHIP, group);
    this.poll = pollReadable(this.fd, () => void this.readSoon());
  }

  private dropOwn(): void {
    const { filter, protocol } = this.subscription;
    attachFilter(this.fd, filter(this.own.list(protocol)));
  }

  private async readSoon(): Promise<void> {
    this.poll.pause();
    await systemClock.sleep(GATHER_MS);
    try {
      this.drain();
    } finally {
      if (!this.closed) this.poll.resume();
    }
  }

  /** Reads until nothing waits. */
  drain(): void {
    while (!this.closed) {
      const bytes = this.receive();
      if (bytes === undefined) return;
      for (const event of this.eventsOf(bytes)) if (!this.closed) this.emit(event);
    }
  }

  /** What cannot be understood may have been about anything. */
  private eventsOf(bytes: Buffer | "lost"): readonly KernelEvent[] {
    if (bytes === "lost") return [{ kind: "lost" }];
    try {
      return parseMessages(bytes).flatMap((message) => this.eventsOfMessage(message));
    } catch {
      return [{ kind: "lost" }];
    }
  }

  private eventsOfMessage(message: NetlinkMessage): readonly KernelEvent[] {
    const { protocol, decode } = this.subscription;
    return this.own.has(protocol, message.port) ? [] : decode(message);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.ports[Symbol.dispose]();
    this.poll.close();
    close(this.fd);
  }

  private receive(): Buffer | "lost" | undefined {
    try {
      return receive(this.fd);
    } catch (error) {
      if (error instanceof KernelError && error.code === "ENOBUFS") return "lost";
      throw error;
    }
  }
}

const SET_TYPES: ReadonlySet<number> = new Set([RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWRULE]);

function routeDecoder(message: NetlinkMessage): readonly KernelEvent[] {
  const event = decodeRouteEvent(message);
  return event === undefined ? [] : [event];
}

function decodeRouteEvent({ type, data }: NetlinkMessage): KernelEvent | undefined {
  const change = SET_TYPES.has(type) ? "set" : "gone";
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      // a bridge tells about its ports as links of family AF_BRIDGE: those are not changes of the link
      return data.readUInt8(0) === 0 ? { kind: "link", change, link: decodeLink(data) } : undefined;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { kind: "address", change, address: decodeAddress(data) };
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(data);
      // those come and go with every address
      if (route === undefined || route.type === "local") return undefined;
      return { kind: "route", change, route };
    }
    case RTM_DELNEIGH: {
      const neighbour = decodeGoneNeighbour(data);
      return neighbour && { kind: "neighbour", change: "gone", neighbour };
    }
    case RTM_NEWNETCONF:
      return decodeParameters(data);
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const rule = decodeRule(data);
      return { kind: "rule", change, family: rule.family, rule };
    }
    default:
      return undefined;
  }
}
