import { parseSettings, type RawSettings } from "./settings.ts";
import { type NodeSettings, settingsForNode } from "./settings-for-node.ts";
import { SettingsInForce } from "./settings-in-force.ts";

/** Settings without a file: the defaults, and what the program itself sets. */
export class MemorySettings extends SettingsInForce {
  /** Throws RangeError that names what is wrong. */
  constructor(raw: RawSettings = {}) {
    super(understood(raw));
  }

  /** These, and defaults for all others. Throws RangeError, and changes nothing, when something is wrong with them. */
  set(raw: RawSettings): void {
    this.put(understood(raw, this.status.values));
  }
}

function understood(raw: RawSettings, started?: RawSettings): NodeSettings {
  const parsed = parseSettings(raw);
  const result =
    "problems" in parsed ? parsed : settingsForNode({ settings: raw, overrides: [] }, new Map(), started);
  if ("problems" in result) throw new RangeError(result.problems.join("; "));
  return result;
}
