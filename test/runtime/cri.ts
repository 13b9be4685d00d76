/** The container runtime interface, as kubelet speaks it: the calls about pod sandboxes, typed. cri.proto has the messages. */
import { fileURLToPath } from "node:url";
import {
  type Client,
  credentials,
  loadPackageDefinition,
  makeClientConstructor,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { IpAddress } from "../../common/ip.ts";

/** What kubelet gives a sandbox: `uid` and `attempt` tell sandboxes of one pod name apart. */
export type PodSpec = {
  readonly name: string;
  readonly uid: string;
  readonly attempt?: number;
  readonly cgroupParent: string;
};

export type ListedSandbox = {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
};

export type SandboxStatus = {
  readonly isReady: boolean;
  /** The first is the one that kubelet shows. */
  readonly addresses: readonly IpAddress[];
  readonly netnsPath: string;
};

export type Condition = { readonly status: boolean; readonly reason: string; readonly message: string };

/** In the version that the runtime has chosen. */
export type PluginList = { readonly version: string; readonly types: readonly string[] };

/** As kubelet: 4 minutes for a sandbox; it is far less here, so that a test names the call that hangs. */
const CALL_MS = 60_000;

const PROTO = loadPackageDefinition(
  loadSync(fileURLToPath(new URL("cri.proto", import.meta.url)), {
    keepCase: true,
    enums: String,
    defaults: true,
  }),
) as unknown as { readonly runtime: { readonly v1: Readonly<Record<string, ServiceClientConstructor>> } };

/** One runtime's socket. Each call rejects with the runtime's words. */
export class Cri implements Disposable {
  private readonly runtime: Client;
  private readonly images: Client;

  constructor(socketPath: string) {
    this.runtime = connect("RuntimeService", socketPath);
    this.images = connect("ImageService", socketPath);
  }

  /** Gives the new sandbox's id. Past its deadline a call ends here, and the runtime is told that nobody waits any more. */
  async run({ name, uid, attempt = 0, cgroupParent }: PodSpec, deadlineMs = CALL_MS): Promise<string> {
    const metadata = { name, uid, namespace: "demo", attempt };
    const config = { metadata, linux: { cgroup_parent: cgroupParent } };
    const request = { config };
    const answer = await call<{ pod_sandbox_id: string }>(this.runtime, "RunPodSandbox", request, deadlineMs);
    return answer.pod_sandbox_id;
  }

  /** Repeatable. */
  async stop(id: string): Promise<void> {
    await this.call("StopPodSandbox", { pod_sandbox_id: id });
  }

  /** Repeatable; stops it first when it runs. */
  async remove(id: string): Promise<void> {
    await this.call("RemovePodSandbox", { pod_sandbox_id: id });
  }

  async list(): Promise<readonly ListedSandbox[]> {
    return (await this.call<{ items: ListedSandbox[] }>("ListPodSandbox", {})).items;
  }

  async status(id: string): Promise<SandboxStatus> {
    const answer = await this.call<StatusAnswer>("PodSandboxStatus", { pod_sandbox_id: id, verbose: true });
    const { state, network } = answer.status;
    const texts = [network?.ip ?? "", ...(network?.additional_ips ?? []).map(({ ip }) => ip)];
    return {
      isReady: state === "SANDBOX_READY",
      addresses: texts.filter((text) => text !== "").map((text) => IpAddress.parse(text)),
      netnsPath: netnsOf(answer.info.info ?? "{}"),
    };
  }

  /** What makes a node Ready or not. */
  async network(): Promise<Condition> {
    const { status } = await this.call<ConditionsAnswer>("Status", {});
    const found = status.conditions.find(({ type }) => type === "NetworkReady");
    if (found === undefined) throw new Error("the runtime says nothing about NetworkReady");
    return found;
  }

  /** The list of plugins that the runtime would use now, as containerd shows it in the verbose part; undefined when there is none of that name. */
  async pluginList(name: string): Promise<PluginList | undefined> {
    const { info } = await this.call<ConditionsAnswer>("Status", { verbose: true });
    const { Networks: lists } = JSON.parse(info.cniconfig ?? "{}") as ShownNetworks;
    const found = lists?.find(({ Config }) => Config.Name === name)?.Config;
    return found && { version: found.CNIVersion, types: found.Plugins.map(({ Network }) => Network.type) };
  }

  async hasImage(image: string): Promise<boolean> {
    const answer = await call<{ image: unknown }>(this.images, "ImageStatus", { image: { image } });
    return answer.image !== null;
  }

  private call<T>(method: string, request: object): Promise<T> {
    return call<T>(this.runtime, method, request);
  }

  [Symbol.dispose](): void {
    this.runtime.close();
    this.images.close();
  }
}

type StatusAnswer = {
  readonly status: {
    readonly state: string;
    readonly network: {
      readonly ip: string;
      readonly additional_ips: readonly { readonly ip: string }[];
    } | null;
  };
  readonly info: Readonly<Record<string, string>>;
};

type ConditionsAnswer = {
  readonly status: { readonly conditions: readonly (Condition & { readonly type: string })[] };
  readonly info: { readonly cniconfig?: string };
};

/** go-cni's names. */
type ShownNetworks = {
  readonly Networks?: readonly {
    readonly Config: {
      readonly Name: string;
      readonly CNIVersion: string;
      readonly Plugins: readonly { readonly Network: { readonly type: string } }[];
    };
  }[];
};

/** The verbose part of a status is the runtime's own; containerd shows the OCI specification there. */
function netnsOf(info: string): string {
  const { runtimeSpec } = JSON.parse(info) as {
    readonly runtimeSpec?: {
      readonly linux: { readonly namespaces: readonly { type: string; path?: string }[] };
    };
  };
  return runtimeSpec?.linux.namespaces.find(({ type }) => type === "network")?.path ?? "";
}

function connect(service: "RuntimeService" | "ImageService", socketPath: string): Client {
  const known = PROTO.runtime.v1[service];
  if (known === undefined) throw new Error(`cri.proto has no ${service}`);
  const Service = makeClientConstructor(known.service, service);
  return new Service(`unix:${socketPath}`, credentials.createInsecure());
}

type Method = (
  request: object,
  options: { readonly deadline: number },
  done: (error: Error | null, answer: unknown) => void,
) => void;

function call<T>(client: Client, method: string, request: object, deadlineMs = CALL_MS): Promise<T> {
  const invoke = (client as unknown as Readonly<Record<string, Method>>)[method];
  if (invoke === undefined) throw new Error(`cri.proto has no call ${method}`);
  return new Promise((resolve, reject) => {
    invoke.call(client, request, { deadline: Date.now() + deadlineMs }, (error, answer) => {
      if (error === null) resolve(answer as T);
      else reject(new Error(`${method}: ${error.message}`, { cause: error }));
    });
  });
}
