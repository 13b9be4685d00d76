/** An address that has cooled down brings nothing of its last pod to the next one: real connection tracking, senders that never stop, a translated service. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import { SOCK_DGRAM } from "../cloudsim/probe/libc.ts";
import { ProbeSocket } from "../cloudsim/probe/socket.ts";
import type { PodOf } from "./cluster.ts";
import { FieldNode } from "./field-node.ts";
import { readPoolPage } from "./pool-page.ts";

const PORT = 5353;
const NODE_PORT = 30_053;
const SEND_EVERY_MS = 20;
const SOON = { timeout: 15_000, interval: 50 };

let field: FieldNode;

beforeAll(async () => {
  // three addresses for pods and no more: the next pod gets that of the last one
  const settings = { "ip-cooldown-period": "1", "address-unit": "single", "max-eni": "1" };
  field = await FieldNode.start("co", { settings });
});
afterAll(() => field?.[Symbol.asyncDispose]());

/** Sends a datagram again and again from one socket, and reads no answer: it keeps its entry alive for ever. */
function oneWay(to: IpAddress, port: number): Disposable {
  const socket = ProbeSocket.open(field.peer.netnsPath, to.family, SOCK_DGRAM);
  socket.connect({ address: to, port });
  const send = () => {
    try {
      socket.send(Buffer.from(`to ${to} ${port}`));
    } catch {
      // a refusal of the datagram before is told with the next
    }
  };
  const timer = setInterval(send, SEND_EVERY_MS);
  send();
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      socket[Symbol.dispose]();
    },
  };
}

/** What the node tracks of an address, at either end and before or after translation. */
function tracked(address: IpAddress | undefined): string[] {
  const family = `ipv${address?.family}`;
  return field.lines(`conntrack -L -f ${family} 2>/dev/null`).filter((line) => line.includes(`=${address} `));
}

const serviceOf = (pod: PodOf) => `table ip proxy {
  chain services { type nat hook prerouting priority dstnat; udp dport ${NODE_PORT} dnat to ${pod.ipv4}:${PORT}; }
}`;

it("aws-41: whoever sends on to an address after its pod's end leaves no entry, and a service's old entry reaches no new pod", async () => {
  const [first] = (await field.addPods("first", "second", "third")) as [PodOf];
  const [ipv4, ipv6] = [first.ipv4, first.ipv6] as [IpAddress, IpAddress];
  field.sh(`nft -f - <<END\n${serviceOf(first)}\nEND`);
  using _direct4 = oneWay(ipv4, PORT);
  using _direct6 = oneWay(ipv6, PORT);
  using _service = oneWay(field.node.addresses.ipv4, NODE_PORT);
  // the datagrams of the service are translated, and answered by nobody
  await expect
    .poll(() => tracked(ipv4).filter((line) => line.includes(`dport=${NODE_PORT} `)), SOON)
    .toHaveLength(1);
  await expect.poll(() => tracked(ipv6).length, SOON).toBeGreaterThan(0);
  // as kube-proxy does at the pod's end: what is tracked goes on as before
  field.sh("nft delete table ip proxy");
  await field.node.runtime.del(first);
  const cooling = async () => (await readPoolPage(field.node.place.netnsPath)).cooling;
  await expect.poll(cooling, SOON).toEqual([]);
  expect([...tracked(ipv4), ...tracked(ipv6)]).toEqual([]);
  const place = field.cluster.vpc.addPlace("next");
  using listener = ProbeSocket.open(place.netnsPath, 4, SOCK_DGRAM);
  listener.bind({ address: IpAddress.parse("0.0.0.0"), port: PORT });
  const next = await field.node.addPodIn(place, "next");
  expect(String(next.ipv4)).toBe(String(ipv4));
  // what is sent to the address itself is the new pod's
  expect(await listener.wait("readable", 2_000)).toBe(true);
  const heard = new Set<string>();
  for (let count = 0; count < 30 && (await listener.wait("readable", 1_000)); count += 1)
    heard.add(String(listener.receive()?.data));
  expect([...heard]).toEqual([`to ${ipv4} ${PORT}`]);
  expect(tracked(ipv4).filter((line) => line.includes(`dport=${NODE_PORT} `))).toEqual([]);
}, 60_000);
