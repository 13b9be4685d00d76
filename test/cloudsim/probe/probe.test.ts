import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IpAddress } from "../../../common/ip.ts";
import { ping, Sink, sendForged, tcpAsk, tcpEcho, udpAsk, udpEcho } from "./index.ts";

const [left, right] = ["probe-left", "probe-right"].map((name) => ({ name, path: `/run/netns/${name}` })) as [
  { name: string; path: string },
  { name: string; path: string },
];
const address = (text: string) => IpAddress.parse(text);

beforeAll(() => {
  const batch = [
    `netns add ${left.name}`,
    `netns add ${right.name}`,
    `link add v netns ${left.name} type veth peer name v netns ${right.name}`,
  ];
  execFileSync("ip", ["-batch", "-"], { input: batch.join("\n") });
  for (const [index, ns] of [left, right].entries()) {
    const lines = [
      "link set lo up",
      "link set v up",
      `address add 10.1.0.${index + 1}/24 dev v`,
      `address add 10.1.0.1${index + 1}/24 dev v`,
      `address add 2001:db8::${index + 1}/64 dev v nodad`,
    ];
    execFileSync("ip", ["-n", ns.name, "-batch", "-"], { input: lines.join("\n") });
  }
});

afterAll(() => {
  for (const ns of [left, right]) execFileSync("ip", ["netns", "delete", ns.name]);
});

test.each(["10.1.0.2", "2001:db8::2"])("an echo server at %s answers with the source it saw", async (to) => {
  const spec = { netnsPath: right.path, address: address(to), port: 7000, name: "right" };
  using _tcp = tcpEcho(spec);
  using _udp = udpEcho(spec);
  const from = to.includes(":") ? "2001:db8::1" : "10.1.0.1";
  for (const ask of [tcpAsk, udpAsk]) {
    const reply = await ask(left.path, { to: address(to), port: 7000 });
    expect(reply).toMatchObject({ ok: true, server: "right", seenSource: address(from) });
  }
  expect(await ping(left.path, { to: address(to) })).toBe(true);
});

test("a client speaks from the address and port that it was given", async () => {
  using _server = tcpEcho({ netnsPath: right.path, address: address("10.1.0.2"), port: 7001, name: "right" });
  const question = { to: address("10.1.0.2"), port: 7001, from: address("10.1.0.11"), fromPort: 40_001 };
  expect(await tcpAsk(left.path, question)).toMatchObject({
    seenSource: address("10.1.0.11"),
    seenPort: 40_001,
  });
});

test("a question without a server is refused, one without a host is not answered", async () => {
  expect(await tcpAsk(left.path, { to: address("10.1.0.2"), port: 7002 })).toEqual({
    ok: false,
    reason: "connection refused",
  });
  expect(await ping(left.path, { to: address("10.1.0.99"), timeoutMs: 100 })).toBe(false);
});

test.each([
  ["10.1.0.99", "10.1.0.2"],
  ["2001:db8::99", "2001:db8::2"],
])("a forged packet from %s arrives as such", async (from, to) => {
  using sink = new Sink(right.path, address(to), 7003);
  sendForged(left.path, { from: address(from), to: address(to), port: 7003 });
  await expect.poll(() => sink.received).toEqual([{ from: address(from), payload: "forged" }]);
});
