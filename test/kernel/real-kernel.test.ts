import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { describeKernel } from "../conformance/kernel.ts";
import { createNetns, run, type TestNetns } from "./namespaces.ts";

describeKernel("the real kernel", async () => {
  const host = createNetns();
  const pods: TestNetns[] = [];
  const kernel = await openKernel({ netnsPath: host.path });
  return {
    kernel,
    createNetns: () => {
      const pod = createNetns();
      pods.push(pod);
      return pod.path;
    },
    createPlainFile: () => {
      const path = `/run/plain-${randomUUID()}`;
      writeFileSync(path, "");
      return path;
    },
    destroyNetns: (path) => pods.find((pod) => pod.path === path)?.destroy(),
    setMac: (path, name, mac) => run(`ip -n ${basename(path)} link set ${name} address ${mac}`),
    setLinkDown: (name) => run(`ip -n ${host.name} link set ${name} down`),
    deleteRule: (family, priority) => run(`ip -n ${host.name} -${family} rule delete priority ${priority}`),
    deleteTable: () => host.exec("nft delete table inet causeway"),
    close: async () => {
      await kernel.close();
      for (const pod of [...pods, host]) pod.destroy();
    },
  };
});
