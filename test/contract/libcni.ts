/**
 * What the reference library (libcni 1.3) does with a configuration list on behalf of a runtime: one plugin after another by exec, each with the result of
 * the one before, capability arguments for who declares them, and a file per attachment that keeps the result for CHECK, DEL and GC.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { runProgram } from "../../common/kernel/processes.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** One plugin's part of a list. */
export type PluginConf = JsonObject & {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
};

export type ConfList = {
  readonly cniVersion: string;
  readonly cniVersions?: readonly string[];
  readonly name: string;
  readonly disableCheck?: boolean;
  readonly disableGC?: boolean;
  readonly plugins: readonly PluginConf[];
};

/** One attachment as a runtime asks for it. */
export type RuntimeConf = {
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS, as one text. */
  readonly args?: string;
  readonly capabilityArgs?: JsonObject;
};

/** A plugin that ended with another exit code than 0. */
export class PluginError extends Error {
  readonly plugin: string;
  readonly code: number | undefined;

  constructor(plugin: string, command: string, stdout: string, stderr: string) {
    const document = stdout === "" ? undefined : (JSON.parse(stdout) as { code: number; msg: string });
    super(`${plugin} ${command}: ${document?.msg ?? stderr}`);
    this.plugin = plugin;
    this.code = document?.code;
  }
}

export type LibcniOptions = {
  /** The namespace that plugins run in. */
  readonly netnsPath: string;
  /** The daemon of the plugin under test. */
  readonly socketPath: string;
  /** Where results are kept; made when missing. */
  readonly cacheFolder: string;
  /** Looked through in this order, as CNI_PATH. */
  readonly pluginFolders: readonly string[];
};

/** Than a plugin's own deadlines. */
const LONGER_THAN_ANY_MS = 120_000;
/** The newest version that the library knows. */
const OWN_VERSION = "1.1.0";

export class Libcni {
  private readonly options: LibcniOptions;

  constructor(options: LibcniOptions) {
    this.options = options;
  }

  /** The chain's result. Stops at the first error, and takes nothing back. */
  async add(list: ConfList, rt: RuntimeConf): Promise<JsonObject> {
    let result: JsonObject | undefined;
    for (const plugin of list.plugins) {
      const stdout = await this.exec("ADD", plugin, this.configOf(list, plugin, rt, result), rt);
      result = JSON.parse(stdout) as JsonObject;
    }
    mkdirSync(this.results, { recursive: true });
    writeFileSync(this.cacheFile(list, rt), JSON.stringify({ kind: "cniCacheV1", rt, result }));
    return result ?? {};
  }

  async check(list: ConfList, rt: RuntimeConf): Promise<void> {
    if (list.disableCheck) return;
    const result = this.cached(list, rt);
    for (const plugin of list.plugins)
      await this.exec("CHECK", plugin, this.configOf(list, plugin, rt, result), rt);
  }

  /** Backwards, and stops at the first error: plugins before that one are not called. A result that cannot be read is left out. */
  async del(list: ConfList, rt: RuntimeConf): Promise<void> {
    const result = negotiate(list) < "0.4.0" ? undefined : this.cached(list, rt);
    for (const plugin of list.plugins.toReversed())
      await this.exec("DEL", plugin, this.configOf(list, plugin, rt, result), rt);
    rmSync(this.cacheFile(list, rt), { force: true });
  }

  /** DELs every cached attachment that is not valid, then tells each plugin. `undefined` is a caller who gives no list. Throws the first error at the end. */
  async gc(list: ConfList, valid: readonly RuntimeConf[] | undefined): Promise<void> {
    if (list.disableGC) return;
    const errors: unknown[] = [];
    const note = (error: unknown) => void errors.push(error);
    for (const rt of this.attachments(list))
      if (!valid?.some((one) => sameAttachment(one, rt))) await this.del(list, rt).catch(note);
    if (negotiate(list) >= "1.1.0") {
      const named = valid?.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
      const keys = named && { "cni.dev/valid-attachments": named, "cni.dev/attachments": named };
      for (const plugin of list.plugins)
        await this.exec("GC", plugin, { ...this.configOf(list, plugin), ...keys }).catch(note);
    }
    if (errors.length > 0) throw errors[0];
  }

  async status(list: ConfList): Promise<void> {
    if (negotiate(list) < "1.1.0") return;
    for (const plugin of list.plugins) await this.exec("STATUS", plugin, this.configOf(list, plugin));
  }

  /** The file that keeps an attachment's result. */
  cacheFile({ name }: ConfList, { containerId, ifname }: RuntimeConf): string {
    return path.join(this.results, `${name}-${containerId}-${ifname}`);
  }

  private get results(): string {
    return path.join(this.options.cacheFolder, "results");
  }

  private cached(list: ConfList, rt: RuntimeConf): JsonObject | undefined {
    try {
      return (JSON.parse(readFileSync(this.cacheFile(list, rt), "utf8")) as { result: JsonObject }).result;
    } catch {
      return undefined;
    }
  }

  private attachments(list: ConfList): RuntimeConf[] {
    if (!existsSync(this.results)) return [];
    const files = readdirSync(this.results).filter((file) => file.startsWith(`${list.name}-`));
    return files.flatMap((file) => {
      const text = readFileSync(path.join(this.results, file), "utf8");
      return text === "" ? [] : [(JSON.parse(text) as { rt: RuntimeConf }).rt];
    });
  }

  private configOf(
    list: ConfList,
    plugin: PluginConf,
    rt?: RuntimeConf,
    prevResult?: JsonObject,
  ): JsonObject {
    const args = Object.entries(rt?.capabilityArgs ?? {});
    const wanted = args.filter(([name]) => plugin.capabilities?.[name]);
    return {
      ...plugin,
      name: list.name,
      cniVersion: negotiate(list),
      ...(prevResult && { prevResult }),
      ...(wanted.length > 0 && { runtimeConfig: Object.fromEntries(wanted) }),
    };
  }

  private async exec(
    command: string,
    plugin: PluginConf,
    config: JsonObject,
    rt?: RuntimeConf,
  ): Promise<string> {
    const { netnsPath, socketPath, pluginFolders } = this.options;
    const binary = pluginFolders
      .map((folder) => path.join(folder, plugin.type))
      .find((file) => existsSync(file));
    if (binary === undefined) throw new Error(`failed to find plugin "${plugin.type}" in path`);
    const environment = {
      CAUSEWAY_SOCKET: socketPath,
      CNI_COMMAND: command,
      CNI_PATH: pluginFolders.join(":"),
      ...(rt && {
        CNI_CONTAINERID: rt.containerId,
        CNI_NETNS: rt.netns,
        CNI_IFNAME: rt.ifname,
        CNI_ARGS: rt.args ?? "",
      }),
    };
    const run = await runProgram(["nsenter", `--net=${netnsPath}`, binary], {
      environment,
      input: JSON.stringify(config),
      timeoutMs: LONGER_THAN_ANY_MS,
    });
    if (run.exitCode !== 0) throw new PluginError(plugin.type, command, run.stdout, run.stderr);
    return run.stdout;
  }
}

/** The highest version of the list that the library knows. */
export function negotiate({ cniVersion, cniVersions = [] }: ConfList): string {
  return (
    [cniVersion, ...cniVersions]
      .filter((version) => version <= OWN_VERSION)
      .sort()
      .at(-1) ?? cniVersion
  );
}

function sameAttachment(a: RuntimeConf, b: RuntimeConf): boolean {
  return a.containerId === b.containerId && a.ifname === b.ifname;
}
