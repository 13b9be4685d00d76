import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { delPod } from "../../cni/del.ts";
import { collectGone, validAttachments } from "../../cni/gc.ts";
import { attachmentKey, type ContainerId } from "../../common/ids.ts";
import { readKernel, recover } from "../../ipamd/recovery.ts";
import { AttachNode, attachment, run } from "./attach-node.ts";

const never = new AbortController().signal;
const nothing: ReadonlySet<string> = new Set();
let world: AttachNode;

beforeEach(async () => {
  world = await AttachNode.start();
});

afterEach(() => world[Symbol.asyncDispose]());

const gc = (valid = nothing) => collectGone(world.deps, valid, never);
const keys = (leases: readonly { readonly attachment: typeof attachment }[]) =>
  leases.map((lease) => attachmentKey(lease.attachment));

describe("GC on the real kernel", () => {
  it("keeps a pod that lives although the list does not name it, and says which", async () => {
    await world.add();
    const { ended, unknown } = await gc();
    expect([keys(ended), keys(unknown)]).toEqual([[], ["aa01/eth0"]]);
    expect(world.deps.ipam.find(attachment)).toBeDefined();
  });

  it("ends the lease of a pod whose link is gone; its addresses cool", async () => {
    const { lease } = await world.add();
    run("ip", "-n", world.podNetns, "link", "delete", "eth0");
    expect(keys((await gc()).ended)).toEqual(["aa01/eth0"]);
    expect(world.deps.ipam.find(attachment)).toBeUndefined();
    expect(recover(readKernel(world.kernel)).cooling.map(String)).toEqual([`${lease.ipv4}`, `${lease.ipv6}`]);
    expect(world.kernel.nft.list("genuine")).toEqual([]);
    expect((await gc()).ended).toEqual([]);
  });

  it("leaves a lease that the list names to the loss of its link", async () => {
    await world.add();
    run("ip", "-n", world.podNetns, "link", "delete", "eth0");
    expect(await gc(new Set(["aa01/eth0"]))).toEqual({ ended: [], unknown: [], errors: [] });
  });

  it("ends the leases of namespaces that have died", async () => {
    const names = ["n0", "n1", "n2", "n3"];
    for (const name of names)
      await world.add(1, { containerId: name as ContainerId, ifname: "eth0" }, world.addNetns(name));
    world.removeNetns(...names);
    // the kernel lets go of a namespace a moment after its path
    const ended: string[] = [];
    await expect.poll(async () => ended.push(...keys((await gc()).ended))).toBe(4);
    expect(ended.sort()).toEqual(names.map((name) => `${name}/eth0`));
    await expect.poll(() => world.kernel.host.links.list("veth")).toEqual([]);
  });

  it("ends a lease whose link is still there, while the pod's end is already going", async () => {
    await world.add();
    const { host } = world.kernel;
    const links = Object.assign(Object.create(host.links), { findPeer: () => undefined });
    const deps = { ...world.deps, kernel: { ...world.kernel, host: { ...host, links } } };
    expect(keys((await collectGone(deps, nothing, never)).ended)).toEqual(["aa01/eth0"]);
    await expect.poll(() => host.links.list("veth")).toEqual([]);
  });

  it("oth-49: never touches an ADD that runs, nor one that came after a DEL meanwhile", async () => {
    await world.add();
    run("ip", "-n", world.podNetns, "link", "delete", "eth0");
    // the GC waits behind these, and finds another lease than the one that it saw
    const deleted = delPod(world.deps, { attachment, startedAt: 2 });
    const added = world.add(3);
    const { ended, unknown } = await gc();
    await Promise.all([deleted, added]);
    expect([ended, unknown]).toEqual([[], []]);
    expect(world.deps.ipam.find(attachment)).toBe((await added).lease);
  });
});

describe("validAttachments()", () => {
  const config = (keys: Readonly<Record<string, unknown>>) => ({ name: "n", type: "causeway", ...keys });
  const one = [{ containerID: "a", ifname: "eth0" }];
  const two = [{ containerID: "b", ifname: "eth0", more: 1 }];

  it.each([
    ["the specification's key", { "cni.dev/valid-attachments": one }, ["a/eth0"]],
    ["libcni's other key", { "cni.dev/attachments": one }, ["a/eth0"]],
    ["both keys", { "cni.dev/valid-attachments": one, "cni.dev/attachments": two }, ["a/eth0", "b/eth0"]],
    ["an empty list", { "cni.dev/valid-attachments": [] }, []],
    ["null, which libcni writes for no attachment", { "cni.dev/valid-attachments": null }, []],
  ])("oth-49: reads %s", (_what, keysOfConfig, wanted) => {
    expect([...(validAttachments(config(keysOfConfig)) ?? ["none"])]).toEqual(wanted);
  });

  it("oth-49: has no list without a key, which is not an empty one", () => {
    expect(validAttachments(config({}))).toBeUndefined();
  });

  it.each([["a"], [{}], [[{ containerID: "a" }]], [[["a", "eth0"]]]])("refuses %j with code 7", (value) => {
    expect(() => validAttachments(config({ "cni.dev/valid-attachments": value }))).toThrow(
      expect.objectContaining({ number: 7 }),
    );
  });
});
