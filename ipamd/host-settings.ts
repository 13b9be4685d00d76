import { isDeepStrictEqual } from "node:util";
import type { Logger } from "../common/log.ts";
import type { Settings } from "./settings.ts";
import type { SettingsSource } from "./settings-source.ts";

/**
 * Lays the host's network down again whenever a setting of it changes, until it is disposed of. What fails is logged, and done by the guard, which
 * looks at everything every 10 s.
 */
export function followHostSettings(deps: {
  readonly settings: SettingsSource;
  readonly applyHost: () => Promise<unknown>;
  readonly log: Logger;
}): Disposable {
  const { settings, applyHost, log } = deps;
  let applied = hostPart(settings.current);
  return settings.subscribe((next) => {
    const wanted = hostPart(next);
    if (isDeepStrictEqual(wanted, applied)) return;
    applied = wanted;
    applyHost().catch((err: unknown) =>
      log.warn({ err }, "the host's network does not follow its settings yet"),
    );
  });
}

function hostPart({ externalSnat, excludeSnatCidrs }: Settings) {
  return { externalSnat, excludeSnatCidrs };
}
