import type { Cidr, Family } from "../ip.ts";

/** A policy routing rule (linux/fib_rules.h), action lookup. */
export type Rule = {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly protocol: number;
  readonly from?: Cidr;
  readonly to?: Cidr;
  /** iif; `lo` means packets of this node itself. */
  readonly inLink?: string;
  readonly mark?: { readonly value: number; readonly mask: number };
  /** FIB_RULE_INVERT: it is for packets that do not meet the conditions. Read only. */
  readonly inverted?: true;
  /** It has conditions that are not read here: output link, users, protocol, ports, type of service. Read only. */
  readonly narrowed?: true;
  /** FRA_SUPPRESS_PREFIXLEN: results with a prefix this short or shorter are refused. */
  readonly suppressPrefixLength?: number;
  /** FRA_SUPPRESS_IFGROUP: results through links of this group are refused. */
  readonly suppressLinkGroup?: number;
};

/** Rules of one namespace. Synchronous; throws KernelError. */
export interface Rules {
  /** Idempotent: an equal rule that is there already is success (NLM_F_EXCL and EEXIST). */
  add(rule: Rule): void;
  /** Idempotent. */
  remove(rule: Rule): void;
  /** A dump; rules whose action is not a lookup come with table 0. */
  list(family: Family): Rule[];
}

/** True when the two have the same conditions, priority, table and protocol. */
export function isSameRule(a: Rule, b: Rule): boolean {
  return ruleKey(a) === ruleKey(b);
}

function ruleKey(rule: Rule): string {
  const { family, priority, table, protocol, from, to, inLink, mark } = rule;
  const condition = [
    from,
    to,
    inLink,
    mark?.value,
    mark?.mask,
    rule.suppressPrefixLength,
    rule.suppressLinkGroup,
  ];
  return [family, priority, table, protocol, ...condition].join(" ");
}
