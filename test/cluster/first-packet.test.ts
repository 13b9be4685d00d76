/** A pod's first packets are not lost: the kernel gives a new link its queue behind the message that sets it up, and drops what comes before. */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, expect, it } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import { SOCK_DGRAM } from "../cloudsim/probe/libc.ts";
import { ProbeSocket } from "../cloudsim/probe/socket.ts";
import type { PodOf } from "./cluster.ts";
import { FieldNode } from "./field-node.ts";

const PODS = 40;
const PORT = 9;
/** Keeps the lock of the kernel's links busy, so that what the kernel does behind a message comes late. */
const CHURN = `while :; do
  for i in $(seq 50); do echo "link add churn$i type veth peer name nruhc$i"; echo "link delete churn$i"; done | ip -force -batch -
done`;

let field: FieldNode;

beforeAll(async () => {
  field = await FieldNode.start("fp", { instanceType: "m5.large", settings: { "ip-cooldown-period": "0" } });
});

afterAll(() => field?.[Symbol.asyncDispose]());

/** One datagram from the node to a pod that listens from before its ADD; nothing is sent twice. */
async function arrives(pod: PodOf, listener: ProbeSocket): Promise<boolean> {
  using socket = ProbeSocket.open(field.node.place.netnsPath, 4, SOCK_DGRAM);
  socket.connect({ address: pod.ipv4 as IpAddress, port: PORT });
  socket.send(Buffer.from("first"));
  return listener.wait("readable", 500);
}

it("a packet to a pod right after its ADD arrives, on a node whose links come and go", async () => {
  const { netnsPath } = field.node.place;
  const churns = [1, 2].map(() =>
    spawn("nsenter", [`--net=${netnsPath}`, "sh", "-c", CHURN], { stdio: "ignore" }),
  );
  try {
    const lost: string[] = [];
    for (let number = 0; number < PODS; number += 1) {
      const name = `first-${number}`;
      const place = field.cluster.vpc.addPlace(name);
      using listener = ProbeSocket.open(place.netnsPath, 4, SOCK_DGRAM);
      listener.bind({ address: IpAddress.parse("0.0.0.0"), port: PORT });
      const pod = await field.node.addPodIn(place, name);
      if (!(await arrives(pod, listener))) lost.push(name);
      await field.node.runtime.del(pod);
    }
    expect(lost).toEqual([]);
  } finally {
    for (const churn of churns) churn.kill("SIGKILL");
  }
}, 60_000);
