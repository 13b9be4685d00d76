import { KernelError } from "../errors.ts";
import type { Sysctl } from "../netns.ts";
import type { MemoryNamespace } from "./namespace.ts";

/** What a new namespace has: the kernel's defaults, of the parameters that we read or write. */
const GLOBAL_DEFAULTS: Readonly<Record<string, string>> = {
  "net/ipv4/ip_forward": "0",
};
const LINK_DEFAULTS: Readonly<Record<"ipv4" | "ipv6", Readonly<Record<string, string>>>> = {
  ipv4: {
    accept_local: "0",
    accept_redirects: "1",
    forwarding: "0",
    proxy_arp: "0",
    route_localnet: "0",
    rp_filter: "0",
    send_redirects: "1",
    src_valid_mark: "0",
  },
  ipv6: {
    accept_dad: "1",
    accept_ra: "1",
    accept_redirects: "1",
    addr_gen_mode: "0",
    autoconf: "1",
    disable_ipv6: "0",
    forwarding: "0",
    proxy_ndp: "0",
  },
};

/** Kernel parameters of a namespace in memory: of `all`, `default` and each link, and a few global ones. Values are integers. */
export class MemorySysctl implements Sysctl {
  private readonly namespace: () => MemoryNamespace;

  constructor(namespace: () => MemoryNamespace) {
    this.namespace = namespace;
  }

  get(path: string): string | undefined {
    const { sysctls } = this.namespace();
    const initial = this.initial(path);
    return initial === undefined ? undefined : (sysctls.get(path) ?? initial);
  }

  set(path: string, value: string): void {
    if (this.initial(path) === undefined)
      throw new KernelError("ENOENT", `set sysctl ${path} to ${value}: ENOENT`);
    if (!/^-?\d+$/.test(value)) throw new KernelError("EINVAL", `set sysctl ${path} to ${value}: EINVAL`);
    this.namespace().sysctls.set(path, value);
  }

  /** Undefined when there is no such file, as for a link that is gone. A new link begins with the values of `default`. */
  private initial(path: string): string | undefined {
    const [, version, link, name] = /^net\/(ipv4|ipv6)\/conf\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    if (version === undefined || link === undefined || name === undefined) return GLOBAL_DEFAULTS[path];
    const isThere = link === "all" || link === "default" || this.namespace().findLink(link) !== undefined;
    const initial = LINK_DEFAULTS[version as "ipv4" | "ipv6"][name];
    if (!isThere || link === "all" || link === "default") return isThere ? initial : undefined;
    return this.namespace().sysctls.get(`net/${version}/conf/default/${name}`) ?? initial;
  }
}
