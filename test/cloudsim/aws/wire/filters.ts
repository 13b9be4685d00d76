import { invalidValue } from "../model/ec2-error.ts";
import type { Tags } from "../model/resources.ts";
import type { Params } from "./params.ts";

/** The values that a resource has for one filter. */
export type FilterValues<T> = (resource: T) => readonly (string | number | boolean | undefined)[];

/** The filters that a Describe call knows, by name. */
export type FilterTable<T> = Readonly<Record<string, FilterValues<T>>>;

/** `tag-key` and `tag:KEY` of anything with tags. */
export const tagFilters: FilterTable<{ readonly tags: Tags }> = { "tag-key": ({ tags }) => [...tags.keys()] };

/**
 * Reads `Filter.N` and gives a test: a resource passes when each filter has a value that matches one of its patterns (`*` and `?` are
 * wildcards). Throws InvalidParameterValue for a filter that the call does not know.
 */
export function readFilters<T extends object>(
  params: Params,
  table: FilterTable<T>,
): (resource: T) => boolean {
  const tests = params.records("Filter").map((filter) => {
    const valuesOf = findFilter(filter.required("Name"), table);
    const patterns = filter.list("Value").map(toPattern);
    return (resource: T) =>
      valuesOf(resource).some(
        (value) => value !== undefined && patterns.some((pattern) => pattern.test(String(value))),
      );
  });
  return (resource) => tests.every((test) => test(resource));
}

function findFilter<T extends object>(name: string, table: FilterTable<T>): FilterValues<T> {
  if (name.startsWith("tag:")) return (resource) => [tagsOf(resource)?.get(name.slice(4))];
  const found = Object.hasOwn(table, name) ? table[name] : undefined;
  if (found === undefined) throw invalidValue(`The filter '${name}' is invalid`);
  return found;
}

function toPattern(text: string): RegExp {
  const source = text.replace(/[.*+?^${}()|[\]\\]/g, (char) =>
    char === "*" ? ".*" : char === "?" ? "." : `\\${char}`,
  );
  return new RegExp(`^${source}$`, "s");
}

function tagsOf(resource: object): Tags | undefined {
  return "tags" in resource ? (resource.tags as Tags) : undefined;
}
