/**
 * The result of the plugins that ran before in a chain (CNI specification 1.1.0, section 1, "prevResult"). What is in it belongs to them: it is
 * passed on whole, also the keys that we do not know, and only what one version's shape has and another's has not is changed.
 */
import * as z from "zod";
import { IpAddress } from "../common/ip.ts";
import { CniError } from "./errors.ts";
import { quote } from "./netconf.ts";
import type { ResultVersion } from "./result.ts";

const addressText = z.string().refine((text) => parseAddress(text) !== undefined);
const index = z.number().int().nonnegative();

/** Every key may be missing or null: libcni writes no empty lists, and other plugins may leave all of it out. */
const schema = z.looseObject({
  interfaces: z
    .array(z.looseObject({ name: z.string(), sandbox: z.string().nullish(), mtu: index.nullish() }))
    .nullish(),
  ips: z.array(z.looseObject({ address: addressText, interface: index.nullish() })).nullish(),
  routes: z.array(z.looseObject({ dst: z.string() })).nullish(),
});

/** One link of it, and one address; their unknown keys are there too. */
export type PrevInterface = NonNullable<z.infer<typeof schema>["interfaces"]>[number];
export type PrevAddress = NonNullable<z.infer<typeof schema>["ips"]>[number];

export type PrevResult = {
  readonly interfaces: readonly PrevInterface[];
  readonly ips: readonly PrevAddress[];
  readonly routes: readonly Readonly<Record<string, unknown>>[];
  /** `dns`, and whatever else is there. */
  readonly others: Readonly<Record<string, unknown>>;
};

/** Nobody ran before. */
export const NO_RESULT: PrevResult = { interfaces: [], ips: [], routes: [], others: {} };

/** Undefined for none. Throws CniError 7 naming each part that is wrong, with its value when that is a scalar. */
export function parsePrevResult(value: unknown): PrevResult | undefined {
  if (value === undefined || value === null) return undefined;
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw wrongParts(value, parsed.error);
  const { interfaces, ips, routes, cniVersion, ...others } = parsed.data;
  return { interfaces: interfaces ?? [], ips: ips ?? [], routes: routes ?? [], others };
}

/** The address of `10.0.0.5/24`; undefined when it is none. */
export function parseAddress(text: string): IpAddress | undefined {
  const [, address, length] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const parsed = IpAddress.tryParse(address ?? "");
  return parsed !== undefined && Number(length) <= (parsed.family === 4 ? 32 : 128) ? parsed : undefined;
}

/** What only some versions have, by part of a result; `ips[].version` is apart, as it must be made. */
const SINCE_1_1 = {
  interfaces: ["mtu", "socketPath", "pciID"],
  routes: ["mtu", "advmss", "priority", "table", "scope"],
} as const;

/** The parts as they are printed in a version of the specification. */
export function printPrevResult(
  prev: PrevResult,
  version: ResultVersion,
): {
  readonly interfaces: readonly object[];
  readonly ips: readonly object[];
  readonly routes: readonly object[];
} {
  const isOf1_1 = version === "1.1.0";
  return {
    interfaces: isOf1_1 ? prev.interfaces : prev.interfaces.map((one) => without(one, SINCE_1_1.interfaces)),
    ips: prev.ips.map((one) => ({
      ...(version.startsWith("0.") && { version: one.address.includes(":") ? "6" : "4" }),
      ...without(one, ["version"]),
    })),
    routes: isOf1_1 ? prev.routes : prev.routes.map((one) => without(one, SINCE_1_1.routes)),
  };
}

function without(one: Readonly<Record<string, unknown>>, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(one).filter(([key]) => !keys.includes(key)));
}

function wrongParts(value: unknown, error: z.ZodError): CniError {
  const problems = error.issues.map(
    ({ path }) => `prevResult${path.map(printStep).join("")} is wrong: ${quote(valueAt(value, path))}`,
  );
  return new CniError("invalidConfig", `the network configuration is not valid: ${problems.join("; ")}`);
}

function printStep(step: PropertyKey): string {
  return typeof step === "number" ? `[${step}]` : `.${String(step)}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (part, step) => (typeof part === "object" && part !== null ? Reflect.get(part, step) : undefined),
    value,
  );
}
