/** Plugins that misbehave on purpose, for lists that take the place of ours while a test runs. */
import { chmodSync, copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomically } from "../../common/atomic-file.ts";
import { CONFLIST_NAME, NETWORK } from "../../ipamd/conflist.ts";
import { until } from "../shim/waiting.ts";
import type { Containerd } from "./containerd.ts";

/** Sorted before ours, so the runtime takes it. */
const LIST_NAME = "05-test.conflist";

export type TestPlugin = "broken" | "held";

/** A test's own list of plugins; ours is back once it is disposed of. */
export class TestList implements AsyncDisposable {
  private readonly containerd: Containerd;
  private readonly plugin: string;

  private constructor(containerd: Containerd, plugin: string) {
    this.containerd = containerd;
    this.plugin = plugin;
  }

  /** Resolves once the runtime uses it. */
  static async install(
    containerd: Containerd,
    name: TestPlugin,
    types: readonly string[],
  ): Promise<TestList> {
    const plugin = path.join(containerd.binDir, name);
    copyFileSync(fileURLToPath(new URL(`plugins/${name}.sh`, import.meta.url)), plugin);
    chmodSync(plugin, 0o755);
    const { confDir } = containerd.spec;
    // ours but for the plugins, so that the runtime chooses the same version
    const ours = JSON.parse(readFileSync(path.join(confDir, CONFLIST_NAME), "utf8")) as object;
    const list = JSON.stringify({ ...ours, plugins: types.map((type) => ({ type })) });
    await writeFileAtomically(path.join(confDir, LIST_NAME), list, { mode: 0o600 });
    const installed = new TestList(containerd, plugin);
    await installed.isUsed(true);
    return installed;
  }

  /** A switch of the plugin is a file beside it. */
  turn(name: "del" | "hold", on: boolean): void {
    if (on) writeFileSync(`${this.plugin}.${name}`, "");
    else rmSync(`${this.plugin}.${name}`, { force: true });
  }

  /** Resolves once the plugin keeps an answer back. */
  async reached(): Promise<void> {
    await until("the plugin holds", () => existsSync(`${this.plugin}.reached`));
  }

  private async isUsed(wanted: boolean): Promise<void> {
    const type = path.basename(this.plugin);
    const isSo = async () => {
      const list = await this.containerd.cri.pluginList(NETWORK);
      return (list?.types.includes(type) ?? false) === wanted;
    };
    await until(`the runtime uses ${wanted ? "" : "no longer "}the list of the test`, isSo);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(path.join(this.containerd.spec.confDir, LIST_NAME), { force: true });
    this.turn("hold", false);
    await this.isUsed(false);
  }
}
