import { afterAll, beforeAll, expect, test } from "vitest";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { buildLab, type Lab } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await buildLab({ id: "apply", profile: HOSTILE, kubeProxy: "iptables" });
});
afterAll(() => lab[Symbol.asyncDispose]());

test("a second apply writes nothing", async () => {
  expect(await lab.reapply(lab.nodeA, lab.nodeA.plan)).toEqual([]);
});
