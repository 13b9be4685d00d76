/**
 * The plugins behind ours in the conflist. A runtime fails every pod when its list names a plugin that is missing, does not run, or does not know the
 * version that the runtime has chosen. So each is asked for its versions first; one that does not answer is left out and told, and the list offers
 * only versions that all of them know.
 */
import { stat } from "node:fs/promises";
import path from "node:path";
import { RESULT_VERSIONS } from "../cni/result.ts";
import { describeError } from "../common/errors.ts";
import { COMMON_VERSION, OLDEST_OFFERED, type PluginConf } from "./conflist.ts";
import { callPlugin } from "./plugin-call.ts";
import type { Problem } from "./problems.ts";

/** What each stands with in the list, and what pods lack without it. */
const CHAINED = {
  portmap: {
    conf: { type: "portmap", capabilities: { portMappings: true }, snat: true },
    lack: "host ports of pods do not work",
  },
  bandwidth: {
    conf: { type: "bandwidth", capabilities: { bandwidth: true } },
    lack: "bandwidth limits of pods do not hold",
  },
} as const;

export type ChainedName = keyof typeof CHAINED;
/** In the order in which they stand by default. */
export const CHAINED_NAMES = Object.keys(CHAINED) as readonly ChainedName[];

export type ChainOptions = {
  /** The runtime's folder of plugins. */
  readonly pluginDir: string;
  /** Those wanted, in order. */
  readonly chain: readonly ChainedName[];
  /** Where our list goes. When somebody else writes it (undefined), the chain is theirs too: ours is empty. */
  readonly conflistDir: string | undefined;
  /** Ends what is being asked. */
  readonly signal: AbortSignal;
};

export type ChainView = {
  /** Those that are there, in order. */
  readonly plugins: readonly PluginConf[];
  /** CNI versions that we and all of them know, oldest first. */
  readonly versions: readonly string[];
  readonly problems: readonly Problem[];
};

type Answer = { readonly versions: readonly string[] } | { readonly flaw: string };
type Known = { readonly stamp: string; readonly versions: readonly string[]; missed: boolean };

export class Chain {
  private readonly options: ChainOptions;
  private readonly known = new Map<ChainedName, Known>();
  private last: Promise<ChainView> | undefined;

  constructor(options: ChainOptions) {
    this.options = options;
  }

  /** What the last look() found; looks if there was none. */
  current(): Promise<ChainView> {
    return this.last ?? this.look();
  }

  /**
   * Looks at each plugin; only files that have changed are executed. One that was well is kept for one look that fails: an installer may be
   * replacing it, and a pod that fails meanwhile is tried again, while one without its host port stays so. Never rejects.
   */
  look(): Promise<ChainView> {
    this.last = this.examineAll();
    return this.last;
  }

  private async examineAll(): Promise<ChainView> {
    const { chain, conflistDir } = this.options;
    const names = conflistDir === undefined ? [] : chain;
    const answers = await Promise.all(names.map((name) => this.examine(name)));
    const well = names.flatMap((name, at) => {
      const answer = answers[at];
      return answer !== undefined && "versions" in answer ? [{ name, versions: answer.versions }] : [];
    });
    return {
      plugins: well.map(({ name }) => CHAINED[name].conf),
      versions: RESULT_VERSIONS.filter((one) => well.every(({ versions }) => versions.includes(one))),
      problems: [
        ...names.flatMap((name, at) => missing(name, answers[at])),
        ...well.flatMap(({ name, versions }) => this.outdated(name, versions)),
      ],
    };
  }

  private async examine(name: ChainedName): Promise<Answer> {
    const known = this.known.get(name);
    const answer = await this.ask(name, known);
    if ("versions" in answer || known === undefined || known.missed) {
      if ("flaw" in answer) this.known.delete(name);
      return answer;
    }
    known.missed = true;
    return known;
  }

  private async ask(name: ChainedName, known: Known | undefined): Promise<Answer> {
    const file = path.join(this.options.pluginDir, name);
    try {
      const { ino, size, mtimeMs, ctimeMs, mode } = await stat(file);
      const stamp = [ino, size, mtimeMs, ctimeMs, mode].join(" ");
      const versions = known?.stamp === stamp ? known.versions : await this.askVersions(name);
      const lacking = [OLDEST_OFFERED, COMMON_VERSION].filter((one) => !versions.includes(one));
      if (lacking.length > 0) return { flaw: `${file} does not know CNI ${lacking.join(", ")}` };
      this.known.set(name, { stamp, versions, missed: false });
      return { versions };
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
      return { flaw: isMissing ? `${file} is missing` : describeError(error) };
    }
  }

  private async askVersions(name: ChainedName): Promise<readonly string[]> {
    const { pluginDir: folder, signal } = this.options;
    const variables = { CNI_COMMAND: "VERSION" };
    const conf = { type: name, cniVersion: COMMON_VERSION };
    const printed = await callPlugin({ folder, conf, variables, signal });
    const { supportedVersions } = JSON.parse(printed) as { supportedVersions?: readonly string[] };
    return supportedVersions ?? [];
  }

  /** GC and STATUS are 1.1's: a runtime calls neither when one plugin keeps the list below. */
  private outdated(name: ChainedName, versions: readonly string[]): Problem[] {
    const newest = RESULT_VERSIONS.at(-1) ?? COMMON_VERSION;
    if (versions.includes(newest)) return [];
    const file = path.join(this.options.pluginDir, name);
    const sentence = `${file} does not know CNI ${newest}, so the runtime uses an older version for the whole list, without GC and STATUS: a newer ${name} lets it`;
    return [{ code: "chained-plugin", severity: "handled", sentence }];
  }
}

function missing(name: ChainedName, answer: Answer | undefined): Problem[] {
  if (answer === undefined || !("flaw" in answer)) return [];
  const sentence = `${CHAINED[name].lack}: ${answer.flaw}. Install the plugin, or take ${name} out of CAUSEWAY_CHAIN`;
  return [{ code: "chained-plugin", severity: "warning", sentence }];
}
