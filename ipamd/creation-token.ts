import { createHash } from "node:crypto";
import type { CloudView } from "../providers/provider.ts";
import type { Action } from "./plan/facts.ts";

/**
 * The same until the interface it asked for is attached: after a crash in between the provider goes on with what the first try left
 * (detached, so that it does not count here), and makes no second one.
 */
export function creationToken(view: CloudView | undefined, action: Action, ordinal: number): string {
  if (action.kind !== "create") return "";
  const present = (view?.interfaces ?? []).filter(({ state }) => state !== "detached").map(({ id }) => id);
  const facts = JSON.stringify([action.key, action.cardIndex, ordinal, ...present.sort()]);
  return `causeway-${createHash("sha256").update(facts).digest("hex").slice(0, 40)}`;
}
