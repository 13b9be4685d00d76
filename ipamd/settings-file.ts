/**
 * Settings from a file that is read again whenever it changes, or the node's labels do. A document with anything wrong in it is refused whole: what
 * was in force stays, and what is wrong is told until it is mended.
 */
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import { readSmallFile } from "../common/small-file.ts";
import { WatchedFile } from "../common/watched-file.ts";
import type { NodeSource } from "./kube/node.ts";
import type { Labels } from "./kube/selector.ts";
import type { RawSettings } from "./settings.ts";
import { NO_SETTINGS, parseDocument, type SettingsDocument } from "./settings-document.ts";
import { DEFAULT_NODE_SETTINGS, type NodeSettings, settingsForNode } from "./settings-for-node.ts";
import { SettingsInForce } from "./settings-in-force.ts";
import type { LastGood } from "./settings-last-good.ts";
import type { SettingsProblem } from "./settings-source.ts";

/** As much as a ConfigMap can hold. */
export const SETTINGS_BYTES_MAX = 1024 * 1024;

export type FileSettingsDeps = {
  readonly path: string;
  readonly node: NodeSource;
  readonly lastGood: LastGood;
  readonly clock: Clock;
  readonly log: Logger;
};

/** `text` is what this was read from. */
type Understood = NodeSettings & { readonly document: SettingsDocument; readonly text?: string };
type Refused = { readonly problems: readonly string[]; readonly isMissing?: boolean };

export class FileSettings extends SettingsInForce implements Disposable {
  private readonly deps: FileSettingsDeps;
  /** Values that were in force at the start. */
  private readonly started: RawSettings;
  private readonly watches: readonly Disposable[];
  private document: SettingsDocument;

  /** Watches the file until it is disposed of. Throws Error that names everything wrong when neither the file nor an earlier daemon's last good one can be used. */
  static open(deps: FileSettingsDeps): FileSettings {
    return new FileSettings(deps, begin(deps));
  }

  private constructor(deps: FileSettingsDeps, begun: Understood) {
    super(begun);
    this.deps = deps;
    this.document = begun.document;
    this.started = begun.status.values;
    const look = () => this.look();
    this.watches = [
      new WatchedFile({ path: deps.path, clock: deps.clock, changed: look }),
      deps.node.subscribe(look),
    ];
    // it may have changed before it was watched; and what was wrong at the start is told
    this.look();
  }

  [Symbol.dispose](): void {
    for (const watch of this.watches) watch[Symbol.dispose]();
  }

  private look(): void {
    const found = understandFile(this.deps, this.started);
    const before = this.status;
    if ("problems" in found) {
      this.put(this.asBefore(found.problems));
    } else {
      this.document = found.document;
      if (found.text !== undefined) this.deps.lastGood.keep(found.text);
      this.put(found);
    }
    this.logChange(before.values);
  }

  /** The document in force, for the labels of now; when they do not go together, what holds. */
  private asBefore(problems: readonly string[]): NodeSettings {
    const again = settingsForNode(this.document, this.deps.node.labels(), this.started);
    const { settings, status } = "problems" in again ? this.inForce : again;
    const kept = status.problems.filter(({ code }) => code !== "settings-invalid");
    return {
      settings,
      status: { ...status, problems: [...problems.map((one) => this.invalid(one)), ...kept] },
    };
  }

  private invalid(problem: string): SettingsProblem {
    const stays =
      this.document === NO_SETTINGS ? "the defaults are in force" : "the last good settings stay in force";
    return { code: "settings-invalid", sentence: `settings of ${this.deps.path}: ${problem} (${stays})` };
  }

  private logChange(before: RawSettings): void {
    const { values, overrides } = this.status;
    const names = Object.keys({ ...before, ...values }).filter((name) => before[name] !== values[name]);
    if (names.length === 0) return;
    const changed = Object.fromEntries(
      names.map((name) => [name, { from: before[name] ?? "", to: values[name] ?? "" }]),
    );
    this.deps.log.info({ changed, overrides }, "settings changed");
  }
}

/** The file; or what an earlier daemon could use; or, where there is no file, the defaults. */
function begin(deps: FileSettingsDeps): Understood {
  const found = understandFile(deps);
  if (!("problems" in found)) return found;
  const earlier = understandText(deps.lastGood.read() ?? "", deps.node.labels());
  if (!("problems" in earlier)) return earlier;
  if (!found.isMissing) throw new Error(`settings of ${deps.path}: ${found.problems.join("; ")}`);
  return { ...DEFAULT_NODE_SETTINGS, document: NO_SETTINGS };
}

function understandFile({ path, node }: FileSettingsDeps, started?: RawSettings): Understood | Refused {
  const read = readSmallFile(path, SETTINGS_BYTES_MAX);
  if (read.kind === "text") return understandText(read.text, node.labels(), started);
  return { problems: [read.why], isMissing: read.kind === "missing" };
}

function understandText(text: string, labels: Labels, started?: RawSettings): Understood | Refused {
  const parsed = parseDocument(text);
  if ("problems" in parsed) return parsed;
  const { document } = parsed;
  const result = settingsForNode(document, labels, started);
  return "problems" in result ? result : { ...result, document, text };
}
