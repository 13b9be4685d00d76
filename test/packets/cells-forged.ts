/** Cells of what must not pass: each is right when nothing arrived and our own counter, not the cloud's, says so. */
import { IpAddress } from "../../common/ip.ts";
import { type Forged, Sink, sendForged, sendRouterAdvert } from "../cloudsim/probe/index.ts";
import { formatRisen, risen, runIn } from "../cloudsim/vpc/index.ts";
import type { Lab } from "./lab.ts";
import { at, PEER, PODS } from "./lab-addresses.ts";
import type { Cell } from "./world.ts";

const PORT = 7300;

/** To be run one after another: they read counters. */
export function forgedCells(lab: Lab): Cell[] {
  const peers = { 4: at(PEER, 4), 6: at(PEER, 6) } as const;
  const forged = ([4, 6] as const).flatMap((family) => [
    dropped(lab, `p0 as p1 -> peer ipv${family}`, {
      from: at(PODS.p1, family),
      to: peers[family],
      port: PORT,
    }),
    dropped(lab, `p0 as peer -> peer ipv${family}`, { from: peers[family], to: peers[family], port: PORT }),
  ]);
  return [
    ...forged,
    dropped(lab, "p0 -> 127.0.0.1 of node-a", {
      from: at(PODS.p0, 4),
      to: IpAddress.parse("127.0.0.1"),
      port: PORT,
      device: "eth0",
    }),
    { name: "forged: p0 advertises itself as router", run: () => advertised(lab) },
  ];
}

function dropped(lab: Lab, name: string, packet: Forged): Cell {
  return {
    name: `forged: ${name}`,
    run: async () => {
      const isLocal = packet.to.toString() === "127.0.0.1";
      using sink = new Sink((isLocal ? lab.nodeA : lab.peer).netnsPath, packet.to, packet.port);
      const before = lab.vpc.counters();
      sendForged(lab.pod("p0").netnsPath, packet);
      // the path has no queue: what would arrive has arrived before counters are read
      const rose = risen(before, lab.vpc.counters());
      await new Promise((resolve) => setImmediate(resolve));
      if (sink.received.length > 0) return "arrived";
      // others may rise: late packets of cells that failed before
      return rose.get("spoofed node-a") === 1 ? undefined : `rose: ${formatRisen(rose)}`;
    },
  };
}

async function advertised(lab: Lab): Promise<string | undefined> {
  const pod = lab.pod("p0").netnsPath;
  const [link] = JSON.parse(runIn(pod, ["ip", "-j", "link", "show", "dev", "eth0"])) as { ifindex: number }[];
  const before = lab.vpc.counters();
  sendRouterAdvert(pod, link?.ifindex ?? 0);
  const rose = risen(before, lab.vpc.counters());
  return rose.get("router_advert node-a") === 1 ? undefined : `rose: ${formatRisen(rose)}`;
}
