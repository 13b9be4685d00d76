import { CodedError } from "../common/errors.ts";
import type { InterfaceId, PoolKey } from "../common/ids.ts";
import type { HostUplink } from "./host-network/uplinks.ts";

/** The host link of an interface that carries pods, with what the cloud says of it. */
export type Uplink = HostUplink & {
  readonly mtuBytes: number;
  readonly interfaceId: InterfaceId;
  readonly poolKey: PoolKey;
};

/** What an uplink's link carries in its ifalias: `v1|uplink|slot|interfaceId|poolKey`. */
export type UplinkRecord = Pick<Uplink, "slot" | "interfaceId" | "poolKey">;

/** Throws CodedError `pool-key-too-long` when it does not fit an alias (254 bytes). */
export function formatUplinkAlias(record: UplinkRecord): string {
  const alias = `v1|uplink|${record.slot}|${record.interfaceId}|${record.poolKey}`;
  if (Buffer.byteLength(alias) > 254) {
    throw new CodedError(
      "pool-key-too-long",
      `pool key ${record.poolKey} does not fit the 254 bytes of a link's alias`,
    );
  }
  return alias;
}

/** Undefined when the text is not one of ours. */
export function parseUplinkAlias(alias: string): UplinkRecord | undefined {
  const [version, kind, slot, interfaceId, ...key] = alias.split("|");
  if (version !== "v1" || kind !== "uplink" || !/^([1-9]|1[0-5])$/.test(slot ?? "") || !interfaceId)
    return undefined;
  return { slot: Number(slot), interfaceId: interfaceId as InterfaceId, poolKey: key.join("|") as PoolKey };
}
