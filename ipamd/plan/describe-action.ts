/** What the cloud is asked for, in words. Pure. */
import type { UnitRequest } from "../../providers/provider.ts";
import type { Action } from "./facts.ts";

/** A clause without a full stop: `3 IPv4 addresses for eni-1`. */
export function describeAction(action: Action): string {
  switch (action.kind) {
    case "assign":
      return `${requestsOf(action.requests)} for ${action.interfaceId}`;
    case "create":
      return `a new interface with ${requestsOf(action.units)}`;
    case "release":
      return `${action.units.join(" ")} of ${action.interfaceId} given back`;
    case "delete":
      return `interface ${action.interfaceId} deleted`;
  }
}

function requestsOf(requests: readonly UnitRequest[]): string {
  return requests.length === 0 ? "no address yet" : requests.map(requestOf).join(" and ");
}

function requestOf({ family, prefixLength, count }: UnitRequest): string {
  const isSingle = prefixLength === (family === 4 ? 32 : 128);
  const [one, many] = isSingle
    ? ["address", "addresses"]
    : [`/${prefixLength} block`, `/${prefixLength} blocks`];
  return `${count} IPv${family} ${count === 1 ? one : many}`;
}
