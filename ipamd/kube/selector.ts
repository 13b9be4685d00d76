/**
 * Label selectors in Kubernetes' text form: requirements separated by commas, all of which must hold. `key`, `!key`, `key=value` (or `==`),
 * `key!=value`, `key in (a,b)`, `key notin (a,b)`. As in Kubernetes, `!=` and `notin` hold too where the label is missing.
 * (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/, read 2026-11)
 */
export type Labels = ReadonlyMap<string, string>;

export type Requirement = {
  readonly key: string;
  /** Undefined: any value will do. */
  readonly values: readonly string[] | undefined;
  /** True: the label must not be there, or have none of the values. */
  readonly isNegated: boolean;
};

export type LabelSelector = readonly Requirement[];

/** At a comma that is not inside parentheses. */
const BETWEEN = /,(?![^(]*\))/;
const KEY = /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;

/** Throws RangeError that names the part which cannot be read. An empty selector is refused: it would mean every node. */
export function parseSelector(text: string): LabelSelector {
  if (text.trim() === "") throw new RangeError("the selector is empty");
  return text.split(BETWEEN).map((part) => parseRequirement(part.trim()));
}

export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  return selector.every(({ key, values, isNegated }) => {
    const value = labels.get(key);
    const holds = value !== undefined && (values?.includes(value) ?? true);
    return holds !== isNegated;
  });
}

function parseRequirement(part: string): Requirement {
  const [, key = "", word, list = ""] = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part) ?? [];
  if (word !== undefined) {
    const values = list.split(",").map((value) => value.trim());
    return checked(part, { key, values, isNegated: word === "notin" });
  }
  const [, left = "", operator, right = ""] = /^([^!=]+?)\s*(==|=|!=)\s*(.*)$/.exec(part) ?? [];
  if (operator !== undefined)
    return checked(part, { key: left, values: [right], isNegated: operator === "!=" });
  const isNegated = part.startsWith("!");
  return checked(part, { key: isNegated ? part.slice(1).trim() : part, values: undefined, isNegated });
}

function checked(part: string, requirement: Requirement): Requirement {
  const { key, values = [] } = requirement;
  if (!KEY.test(key)) throw new RangeError(`not a requirement of labels: ${JSON.stringify(part)}`);
  const bad = values.find((value) => !VALUE.test(value));
  if (bad !== undefined)
    throw new RangeError(`not a label's value: ${JSON.stringify(bad)} in ${JSON.stringify(part)}`);
  return requirement;
}
