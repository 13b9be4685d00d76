/** The cloud's last list with what its answers to writes have changed since. Pure. */
import type { InterfaceId } from "../common/ids.ts";
import type { Cidr } from "../common/ip.ts";
import type { CloudInterface, CloudView } from "../providers/provider.ts";

export function withInterface(view: CloudView, one: CloudInterface): CloudView {
  return { ...view, interfaces: [...withoutInterface(view, one.id).interfaces, one] };
}

export function withoutInterface(view: CloudView, gone: InterfaceId): CloudView {
  return { ...view, interfaces: view.interfaces.filter(({ id }) => id !== gone) };
}

export function withUnits(view: CloudView, id: InterfaceId, units: readonly Cidr[]): CloudView {
  return changed(view, id, (one) => ({ units: [...without(one.units, units), ...units] }));
}

export function withoutUnits(view: CloudView, id: InterfaceId, units: readonly Cidr[]): CloudView {
  return changed(view, id, (one) => ({ units: without(one.units, units) }));
}

/** Its link is here. */
export function withAttached(view: CloudView, id: InterfaceId): CloudView {
  return changed(view, id, () => ({ state: "attached" }));
}

function changed(
  view: CloudView,
  id: InterfaceId,
  how: (one: CloudInterface) => Partial<CloudInterface>,
): CloudView {
  return {
    ...view,
    interfaces: view.interfaces.map((one) => (one.id === id ? { ...one, ...how(one) } : one)),
  };
}

function without(units: readonly Cidr[], gone: readonly Cidr[]): readonly Cidr[] {
  return units.filter((unit) => !gone.some((other) => other.equals(unit)));
}
