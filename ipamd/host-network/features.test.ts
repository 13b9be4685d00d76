import { beforeEach, describe, expect, it } from "vitest";
import { KernelError } from "../../common/kernel/errors.ts";
import { MemoryKernel } from "../../common/kernel/memory/kernel.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import type { Rule, Rules } from "../../common/kernel/rules.ts";
import { findMissing } from "./features.ts";

let kernel: MemoryKernel;

beforeEach(() => {
  kernel = new MemoryKernel();
});

/** An nft whose kernel refuses scripts with these words in them. */
const refusing =
  (...words: readonly string[]) =>
  async (script: string) => {
    if (words.some((word) => script.includes(word)))
      throw new KernelError("nft-rejected", "try a ruleset: Error: Could not process rule\nchain c {\n^^^^");
    return {};
  };

/** A host whose kernel forgets a part of rules. */
function forgetting(part: keyof Rule): NetworkStack {
  const { rules } = kernel.host;
  const forgetful: Rules = {
    add: (rule) => rules.add(rule),
    remove: (rule) => rules.remove(rule),
    list: (family) => rules.list(family).map(({ [part]: _, ...rest }) => rest as Rule),
  };
  return { ...kernel.host, rules: forgetful };
}

const missing = (doors: Partial<Parameters<typeof findMissing>[0]> = {}) =>
  findMissing(
    {
      host: kernel.host,
      xtables: { backends: async (family) => (family === 4 ? ["nft", "legacy"] : ["nft"]) },
      preview: refusing(),
      missingPrograms: async () => [],
      ...doors,
    },
    [4, 6],
  );

describe("findMissing()", () => {
  it("finds nothing where all is there, and leaves nothing behind", async () => {
    const before = kernel.print();
    expect(await missing()).toEqual([]);
    expect(kernel.print()).toEqual(before);
  });

  const features: [string, string, string][] = [
    ["type nat hook", "chains of type nat in family inet", "5.2"],
    ["type route hook", "chains of type route in family inet", "5.2"],
    ["type ifname . ipv4_addr", "sets of pairs", "4.1"],
    ["counter", "named counters", "4.10"],
    ["table inet", "tables of family inet", "3.14"],
  ];
  it.each(features)(
    "names what nft refuses, and the oldest kernel that has it: %s",
    async (word, name, since) => {
      const [found, ...more] = await missing({ preview: refusing(word) });
      expect(more).toEqual([]);
      expect(found).toContain(name);
      expect(found).toContain(`which Linux has since ${since} (Causeway needs 5.14)`);
      expect(found).toMatch(/: try a ruleset: Error: Could not process rule$/);
    },
  );

  it("gives nft's words when only the whole is refused", async () => {
    const [found] = await missing({ preview: refusing("router_advert") });
    expect(found).toContain("nftables as we use it, which Linux has since 5.14");
  });

  it("passes on what says nothing about features", async () => {
    const preview = async () => Promise.reject(new Error("out of memory"));
    await expect(missing({ preview })).rejects.toThrow("out of memory");
  });

  it.each([
    ["suppressLinkGroup", "suppress_ifgroup", "3.12"],
    ["protocol", "a protocol", "4.17"],
  ] as const)("names a part of rules that the kernel forgets: %s", async (part, name, since) => {
    const [found, ...more] = await missing({ host: forgetting(part) });
    expect(more).toEqual([]);
    expect(found).toMatch(new RegExp(`rules with ${name}, which Linux has since ${since} `));
  });

  it("names IPv6 when pods are to have it and the kernel has none", async () => {
    const sysctl = { get: () => undefined, set: () => undefined };
    expect(await missing({ host: { ...kernel.host, sysctl } })).toEqual([
      expect.stringMatching(/^ip-families wants IPv6 and this kernel has none/),
    ]);
  });

  it("names each program that is not there, those of the legacy back-end only where it is in use", async () => {
    const missingPrograms = async (names: readonly string[]) =>
      names.filter((name) => name.includes("tables"));
    expect(await missing({ missingPrograms })).toEqual([
      "the program iptables-nft is not there: install iptables",
      "the program iptables-legacy is not there: install iptables",
      "the program ip6tables-nft is not there: install iptables",
    ]);
  });
});
