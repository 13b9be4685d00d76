/** A node with its daemon, and the library that calls the plugins there as a runtime does. */
import { randomBytes } from "node:crypto";
import path from "node:path";
import { IpAddress } from "../../common/ip.ts";
import { FieldNode } from "../cluster/field-node.ts";
import { type ConfList, type JsonObject, Libcni, type RuntimeConf } from "./libcni.ts";

/** The plugin under test, and Debian's containernetworking-plugins. */
const PLUGIN_FOLDERS = ["dist", "/usr/lib/cni"].map((folder) => path.resolve(folder));

export const CAUSEWAY = { type: "causeway" } as const;

/** The daemon's list has what Debian ships: the same chain that tests call. */
const CHAIN = { CAUSEWAY_PLUGIN_DIR: "/usr/lib/cni", CAUSEWAY_CHAIN: "portmap,bandwidth" };

/** So that the few addresses of a small node are soon free again, and pods lie on every uplink. */
const SETTINGS = { "ip-cooldown-period": "1", "address-unit": "single" };

/** A chain's pod: what the library was asked, and what came of it. */
export type ChainPod = {
  readonly list: ConfList;
  readonly rt: RuntimeConf;
  readonly result: JsonObject;
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
};

export class ContractField implements AsyncDisposable {
  readonly field: FieldNode;
  readonly libcni: Libcni;
  private places = 0;

  private constructor(field: FieldNode) {
    this.field = field;
    this.libcni = new Libcni({
      netnsPath: field.node.place.netnsPath,
      socketPath: field.node.socketPath,
      cacheFolder: path.join(field.cluster.folder, "cni"),
      pluginFolders: PLUGIN_FOLDERS,
    });
  }

  static async start(id: string, options: { readonly instanceType?: string } = {}): Promise<ContractField> {
    return new ContractField(
      await FieldNode.start(id, { ...options, settings: SETTINGS, environment: CHAIN }),
    );
  }

  /** What a runtime would ask for a pod of that name, with a new namespace; names may come again. */
  runtimeConf(name: string, more: Partial<RuntimeConf> = {}): RuntimeConf {
    const { netnsPath } = this.field.cluster.vpc.addPlace(`${name}-${this.places}`);
    this.places += 1;
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=${name};K8S_POD_UID=uid-${name}`;
    return { containerId: randomBytes(32).toString("hex"), netns: netnsPath, ifname: "eth0", args, ...more };
  }

  async add(list: ConfList, name: string, more: Partial<RuntimeConf> = {}): Promise<ChainPod> {
    const rt = this.runtimeConf(name, more);
    const result = await this.libcni.add(list, rt);
    const [ipv4, ipv6] = (result.ips as { readonly address: string }[])
      .slice(-2)
      .map(({ address }) => IpAddress.parse(address.split("/")[0] ?? ""));
    if (ipv4 === undefined || ipv6 === undefined) throw new Error(`${name} has no two addresses`);
    return { list, rt, result, ipv4, ipv6 };
  }

  /** Kills the daemon; what happens `meanwhile` meets none; then the next one serves. */
  async restart(meanwhile: () => Promise<unknown> = async () => undefined): Promise<void> {
    await this.field.node.daemon?.stop("SIGKILL");
    await meanwhile();
    await this.field.node.startDaemon("ready for pods", CHAIN, SETTINGS);
  }

  /** The pod's namespace dies, and nobody tells; the path is there again afterwards, and names another one. */
  loseNamespace({ rt }: ChainPod): void {
    const name = path.basename(rt.netns);
    this.field.sh(`ip netns delete ${name}; ip netns add ${name}`);
  }

  /** Which uplink's slot carries an address, as the nft map has it. */
  slotOf({ ipv4 }: ChainPod): string {
    const map = this.field.sh("nft list map inet causeway uplink4");
    return new RegExp(`\\b${String(ipv4).replaceAll(".", "\\.")} : goto use-(\\d+)`).exec(map)?.[1] ?? "none";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.field[Symbol.asyncDispose]();
  }
}

export function listOf(cniVersion: string, ...plugins: ConfList["plugins"]): ConfList {
  return { cniVersion, name: "causeway", plugins };
}
