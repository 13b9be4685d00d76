/** Packets that no honest sender makes: false sources, router advertisements. */
import { IpAddress } from "../../../common/ip.ts";
import { SOCK_DGRAM, SOCK_RAW } from "./libc.ts";
import { internetChecksum } from "./ping.ts";
import { ProbeSocket, SocketError } from "./socket.ts";

const IPPROTO_RAW = 255;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;

/** A datagram whose source is whatever `from` says. */
export type Forged = {
  readonly from: IpAddress;
  readonly to: IpAddress;
  readonly port: number;
  readonly payload?: string;
  /** SO_BINDTODEVICE: the link it leaves by. */
  readonly device?: string;
};

/** Sends one UDP datagram with a false source, header and all. A local refusal (no route) throws SocketError. */
export function sendForged(netnsPath: string, packet: Forged): void {
  using socket = ProbeSocket.open(netnsPath, packet.to.family, SOCK_RAW, IPPROTO_RAW);
  if (packet.device !== undefined) socket.bindToDevice(packet.device);
  socket.send(packet.to.family === 4 ? forgedIpv4(packet) : forgedIpv6(packet), {
    address: packet.to,
    port: 0,
  });
}

/** RFC 791; the kernel fills in length and checksum of an IPv4 header. */
function forgedIpv4(packet: Forged): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header[8] = 64;
  header[9] = 17;
  packet.from.toBytes().copy(header, 12);
  packet.to.toBytes().copy(header, 16);
  return Buffer.concat([header, forgedUdp(packet)]);
}

/** RFC 8200. */
function forgedIpv6(packet: Forged): Buffer {
  const udp = forgedUdp(packet);
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(udp.length, 4);
  header[6] = 17;
  header[7] = 64;
  packet.from.toBytes().copy(header, 8);
  packet.to.toBytes().copy(header, 24);
  return Buffer.concat([header, udp]);
}

function forgedUdp(packet: Forged): Buffer {
  const payload = Buffer.from(packet.payload ?? "forged");
  const udp = Buffer.alloc(8 + payload.length);
  udp.writeUInt16BE(4000, 0);
  udp.writeUInt16BE(packet.port, 2);
  udp.writeUInt16BE(udp.length, 4);
  payload.copy(udp, 8);
  // pseudo header: both addresses, length, next header; the same sum for both families (RFC 768, RFC 8200 8.1)
  const tail = Buffer.from([0, 0, udp.length >> 8, udp.length & 0xff, 0, 0, 0, 17]);
  const sum = internetChecksum(
    Buffer.concat([packet.from.toBytes(), packet.to.toBytes(), tail, padded(udp)]),
  );
  udp.writeUInt16BE(sum || 0xffff, 6);
  return udp;
}

function padded(bytes: Buffer): Buffer {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
}

/**
 * A router advertisement (RFC 4861 4.2) to all nodes of a link: lifetime 1800 s, with a prefix to configure addresses
 * from when one is given.
 */
export function sendRouterAdvert(netnsPath: string, linkIndex: number, prefix?: IpAddress): void {
  using socket = ProbeSocket.open(netnsPath, 6, SOCK_RAW, IPPROTO_ICMPV6);
  socket.setOption(IPPROTO_IPV6, IPV6_MULTICAST_IF, linkIndex);
  socket.setOption(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255);
  const advert = Buffer.alloc(16);
  advert[0] = 134;
  advert[4] = 64;
  advert.writeUInt16BE(1800, 6);
  const parts = prefix === undefined ? [advert] : [advert, prefixOption(prefix)];
  socket.send(Buffer.concat(parts), { address: IpAddress.parse("ff02::1"), port: 0, scopeId: linkIndex });
}

/**
 * A neighbour solicitation (RFC 4861 4.3) for the target, sent to it, from an address that the link must have; it tells a
 * hardware address that the target is to remember.
 */
export function sendSolicitation(
  netnsPath: string,
  spec: { readonly from: IpAddress; readonly target: IpAddress; readonly linkIndex: number },
): void {
  using socket = ProbeSocket.open(netnsPath, 6, SOCK_RAW, IPPROTO_ICMPV6);
  socket.setOption(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255);
  socket.bind({ address: spec.from, port: 0, scopeId: spec.linkIndex });
  const solicitation = Buffer.alloc(32);
  solicitation[0] = 135;
  spec.target.toBytes().copy(solicitation, 8);
  // source link-layer address, one unit of 8 bytes
  solicitation.set([1, 1, 0x02, 0xba, 0xd0, 0, 0, 1], 24);
  socket.send(solicitation, { address: spec.target, port: 0, scopeId: spec.linkIndex });
}

/** RFC 4861 4.6.2: /64, on-link and autonomous, for 1800 s. */
function prefixOption(prefix: IpAddress): Buffer {
  const option = Buffer.alloc(32);
  option[0] = 3;
  option[1] = 4;
  option[2] = 64;
  option[3] = 0xc0;
  option.writeUInt32BE(1800, 4);
  option.writeUInt32BE(1800, 8);
  prefix.toBytes().copy(option, 16);
  return option;
}

/** Receives datagrams without answering: what arrived, for packets that must not. */
export class Sink implements Disposable {
  readonly received: { readonly from: IpAddress; readonly payload: string }[] = [];
  readonly #socket: ProbeSocket;

  constructor(netnsPath: string, address: IpAddress, port: number) {
    this.#socket = ProbeSocket.open(netnsPath, address.family, SOCK_DGRAM);
    this.#socket.bind({ address, port });
    this.#socket.onReadable(() => this.#drain());
  }

  #drain(): void {
    try {
      for (let next = this.#socket.receive(); next !== undefined; next = this.#socket.receive()) {
        this.received.push({ from: next.from.address, payload: next.data.toString() });
      }
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
