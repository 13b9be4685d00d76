/** Settings and pods that change under a running daemon, and the pool that follows. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FieldNode } from "./field-node.ts";
import { readPoolPage } from "./pool-page.ts";

/** 2 s until a setting is in force, and the cloud's answer. */
const SOON = { timeout: 4_000, interval: 50 };

let field: FieldNode;
let pods: string;

beforeAll(async () => {
  field = await FieldNode.start("ps", { instanceType: "m5.large", settings: SINGLE });
  pods = path.join(field.cluster.folder, "pods.json");
  await field.node.daemon?.stop();
  await field.node.startDaemon("ready for pods", { CAUSEWAY_PODS: pods }, SINGLE);
});
afterAll(() => field?.[Symbol.asyncDispose]());

const SINGLE = { "address-unit": "single" };

async function free(): Promise<number> {
  const { uplinks } = await readPoolPage(field.node.place.netnsPath);
  const rows = uplinks.flatMap(({ families }) => families).filter(({ family }) => family === 4);
  return rows.reduce((sum, row) => sum + row.free, 0);
}

it("spare-addresses and warm-ip-target are what the pool holds free, without a restart", async () => {
  await expect.poll(free, SOON).toBe(2);
  field.node.writeSettings({ ...SINGLE, "spare-addresses": "4" });
  await expect.poll(free, SOON).toBe(4);
  field.node.writeSettings({ ...SINGLE, "warm-ip-target": "6" });
  await expect.poll(free, SOON).toBe(6);
});

it("pods that are bound to the node have their addresses held before the runtime asks", async () => {
  field.node.writeSettings({ ...SINGLE, "warm-ip-target": "6" });
  await expect.poll(free, SOON).toBe(6);
  // all fit on the primary interface
  const bound = Array.from({ length: 3 }, (_, n) => ({
    uid: `uid-${n}`,
    namespace: "demo",
    name: `bound-${n}`,
  }));
  writeFileSync(pods, JSON.stringify(bound));
  await expect.poll(free, SOON).toBe(9);
});
