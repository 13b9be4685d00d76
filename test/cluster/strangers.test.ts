/** What others do on a node that is nothing to us costs no question to the cloud, and no look at the whole host. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { FieldNode } from "./field-node.ts";
import { readPage } from "./pool-page.ts";

const COUNT = 100;
const EACH = Array.from({ length: COUNT }, (_, number) => number);
/** A daemon that is busy with looks needs so long to be done. */
const SOON = { timeout: 5_000, interval: 50 };

let field: FieldNode;

beforeAll(async () => {
  field = await FieldNode.start("st", { settings: { "address-unit": "single" } });
  await field.addPods("p0", "p1", "p2", "p3");
  await field.expectUnits(6);
});
afterAll(() => field?.[Symbol.asyncDispose]());

async function metric(series: string): Promise<number> {
  const { body } = await readPage(field.node.place.netnsPath, "/metrics");
  const line = body.split("\n").find((one) => one.startsWith(`${series} `));
  return Number(line?.slice(series.length) ?? 0);
}

const looks = () => metric('causeway_host_network_looks_total{why="event"}');

/** What the daemon did for it: looks by event, and calls of EC2. The cloud is asked by time too, once a minute. */
async function effortOf(work: () => void): Promise<{ readonly looks: number; readonly calls: number }> {
  const { calls } = field.cluster.ec2;
  const before = { looks: await quiet(), calls: calls.count("DescribeNetworkInterfaces") };
  work();
  return {
    looks: (await quiet()) - before.looks,
    calls: calls.count("DescribeNetworkInterfaces") - before.calls,
  };
}

/** How many looks there were once none has been added for half a second: a pause between two is no longer. */
async function quiet(): Promise<number> {
  let [last, same] = [await looks(), 0];
  await expect
    .poll(async () => {
      const now = await looks();
      same = now === last ? same + 1 : 0;
      last = now;
      return same;
    }, SOON)
    .toBeGreaterThan(10);
  return last;
}

it("a hundred links of other networks come and go without a question to EC2 or a whole look", async () => {
  const effort = await effortOf(() => {
    for (const number of EACH) {
      field.run(
        "sh",
        "-ec",
        `ip link add docker${number} type veth peer name rekcod${number}; ip link set docker${number} up`,
      );
    }
    field.sh(`ip -batch - <<END
${EACH.map((number) => `link delete docker${number}`).join("\n")}
END`);
  });
  expect(effort.looks).toBe(0);
  expect(effort.calls).toBeLessThanOrEqual(1);
  await field.expectTalk();
});

it("a hundred routes that others set in main and remove cost no whole look", async () => {
  field.sh(
    "ip link add tunnel0 type bridge; ip link set tunnel0 up; ip address add 192.0.2.1/24 dev tunnel0",
  );
  const effort = await effortOf(() => {
    for (const change of ["add", "delete"]) {
      for (const number of EACH) field.sh(`ip route ${change} 198.51.100.${number}/32 dev tunnel0`);
      for (const number of EACH) field.sh(`ip -6 route ${change} 3fff:${number}::/64 dev tunnel0`);
    }
  });
  field.sh("ip link delete tunnel0");
  expect(effort.looks).toBe(0);
  expect(effort.calls).toBeLessThanOrEqual(1);
  await field.expectTalk();
});

it("a kube-proxy that rewrites a thousand rules of nat again and again costs no whole look", async () => {
  const chains = EACH.map((number) => `:KUBE-SVC-${number} - [0:0]`);
  const rules = EACH.flatMap((number) =>
    EACH.slice(0, 10).map(
      (port) => `-A KUBE-SVC-${number} -d 172.20.0.${number}/32 -p tcp --dport ${port} -j RETURN`,
    ),
  );
  const sync = ["*nat", ...chains, ...rules, "COMMIT"].join("\n");
  const effort = await effortOf(() => {
    for (let round = 0; round < 5; round += 1)
      field.sh(`iptables-nft-restore --noflush <<END
${sync}
END`);
  });
  expect(effort.looks).toBe(0);
  expect(effort.calls).toBeLessThanOrEqual(1);
});
