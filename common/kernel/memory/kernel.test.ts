import { describeKernel } from "../../../test/conformance/kernel.ts";
import { MemoryKernel } from "./kernel.ts";

describeKernel("MemoryKernel", async () => {
  const kernel = new MemoryKernel();
  let count = 0;
  const nextPath = () => {
    count += 1;
    return `/run/netns/pod-${count}`;
  };
  return {
    kernel,
    createNetns: () => {
      const path = nextPath();
      kernel.createNetns(path);
      return path;
    },
    createPlainFile: () => {
      const path = nextPath();
      kernel.createPlainFile(path);
      return path;
    },
    destroyNetns: (path) => kernel.destroyNetns(path),
    setMac: (path, name, mac) => kernel.setMac(path, name, mac),
    setLinkDown: (name) => kernel.setLinkDown(name),
    deleteRule: (family, priority) =>
      kernel.asOther(() => {
        for (const rule of kernel.host.rules.list(family)) {
          if (rule.priority === priority) kernel.host.rules.remove(rule);
        }
      }),
    deleteTable: () => kernel.asOther(() => kernel.nft.deleteTable(), { processName: "nft" }),
    close: () => kernel.close(),
  };
});
