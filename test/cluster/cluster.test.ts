import { afterEach, describe, expect, it } from "vitest";
import { tcpAsk, tcpEcho } from "../cloudsim/probe/index.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { Cluster, twoZones } from "./cluster.ts";

let cluster: Cluster | undefined;

afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
  cluster = undefined;
});

describe("a node on the embedded AWS", () => {
  it("gives pods addresses on two uplinks, which reach each other", async () => {
    cluster = await Cluster.build(twoZones(`c${process.pid}`));
    const node = await cluster.addNode({
      name: "node-a",
      subnetId: "subnet-a",
      instanceType: "t3.small",
      profile: HOSTILE,
    });
    const daemon = await node.startDaemon();
    const pods = [];
    for (const name of ["p0", "p1", "p2", "p3", "p4"]) pods.push(await node.addPod(name));
    const [first, last] = [pods[0], pods[4]];
    if (first?.ipv4 === undefined || last?.ipv4 === undefined) throw new Error("no address");
    using _echo = tcpEcho({ netnsPath: last.netnsPath, address: last.ipv4, port: 8080, name: "p4" });
    const reply = await tcpAsk(first.netnsPath, { to: last.ipv4, port: 8080 });
    expect(reply, daemon.logText()).toMatchObject({ ok: true, server: "p4" });
    await node.runtime.del(last);
  });
});
