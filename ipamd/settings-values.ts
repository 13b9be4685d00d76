/** Kinds of values that a setting may have: text in, a value out, and the words for what is accepted. */
import * as z from "zod";
import type { SubnetId } from "../common/ids.ts";
import { Cidr, type Family, mergeCidrs } from "../common/ip.ts";
import type { SubnetChoice } from "../providers/provider.ts";

export type ValueKind<T> = {
  /** For people: what may be written. */
  readonly accepted: string;
  /** Throws RangeError that says what is wrong with the text; with no message when it simply is not one of those accepted. */
  readonly parse: (text: string) => T;
};

/** The kind as a schema, whose issue says what is wrong and what is accepted. */
export function schemaOf<T>({ accepted, parse }: ValueKind<T>) {
  return z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const detail = error.message === "" ? "" : `${error.message}; `;
      context.addIssue({ code: "custom", message: `${detail}accepted: ${accepted}` });
      return z.NEVER;
    }
  });
}

/** One of these words. */
export function choice<const T extends string>(...words: readonly T[]): ValueKind<T> {
  return {
    accepted: words.join(" | "),
    parse: (text) => words.find((word) => word === text) ?? refuse(),
  };
}

export const flag: ValueKind<boolean> = {
  accepted: "true | false",
  parse: (text) => choice("true", "false").parse(text) === "true",
};

export function wholeNumber(of: {
  readonly min: number;
  readonly max: number;
  readonly unit: string;
}): ValueKind<number> {
  return {
    accepted: `a whole number of ${of.unit} from ${of.min} to ${of.max}`,
    parse: (text) => {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
      return value >= of.min && value <= of.max ? value : refuse();
    },
  };
}

export const cidrList: ValueKind<readonly Cidr[]> = {
  accepted: "CIDRs separated by commas",
  parse: (text) => mergeCidrs(listed(text).map((part) => Cidr.parse(part))),
};

const FAMILIES: ReadonlyMap<string, readonly Family[]> = new Map([
  ["ipv4", [4]],
  ["ipv6", [6]],
  ["ipv4,ipv6", [4, 6]],
  ["ipv6,ipv4", [6, 4]],
]);

export const familyList: ValueKind<readonly Family[]> = {
  accepted: [...FAMILIES.keys()].join(" | "),
  parse: (text) => FAMILIES.get(listed(text).join(",")) ?? refuse(),
};

/** AWS's form of an id. Another cloud's is for its adapter's work to add. */
const SUBNET_ID = /^subnet-[0-9a-z]+$/;
const TAG_PREFIX = "tag:";
/** As EC2 allows them: "Tag restrictions" of the user guide, read 2026-11. */
const TAG_LENGTH_MAX = { key: 128, value: 256 } as const;

export const subnetChoice: ValueKind<SubnetChoice> = {
  accepted: `node | ids of subnets separated by commas | ${TAG_PREFIX}Key=Value,... (Key alone: any value)`,
  parse: (text) => {
    if (text === "node") return { by: "node" };
    if (text.startsWith(TAG_PREFIX)) return { by: "tags", tags: tagsOf(text.slice(TAG_PREFIX.length)) };
    return { by: "ids", ids: subnetIds(text) };
  },
};

function subnetIds(text: string): SubnetId[] {
  const ids = listed(text);
  const bad = ids.filter((id) => !SUBNET_ID.test(id));
  if (bad.length > 0) throw new RangeError(`not the id of a subnet: ${bad.join(", ")}`);
  return [...new Set(ids)] as SubnetId[];
}

function tagsOf(text: string): ReadonlyMap<string, string> {
  const tags = new Map<string, string>();
  for (const part of listed(text)) {
    const [, key = "", value = ""] = /^([^=]*)=?(.*)$/.exec(part) ?? [];
    if (key === "" || key.length > TAG_LENGTH_MAX.key || value.length > TAG_LENGTH_MAX.value)
      throw new RangeError(`not a tag: ${part}`);
    if (tags.has(key)) throw new RangeError(`tag ${key} is there twice`);
    tags.set(key, value);
  }
  return tags.size > 0 ? tags : refuse();
}

function listed(text: string): string[] {
  const parts = text.split(",").map((part) => part.trim());
  return parts.filter((part) => part !== "");
}

function refuse(): never {
  throw new RangeError();
}
