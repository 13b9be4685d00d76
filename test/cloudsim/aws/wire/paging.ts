import { Ec2Error, invalidCombination, invalidValue } from "../model/ec2-error.ts";
import type { Params } from "./params.ts";

export type PageLimits = {
  readonly min: number;
  readonly max: number;
  /** The parameter with ids that MaxResults may not go with, where the API reference says so. */
  readonly notWith?: string;
};

type Page<T> = { readonly items: readonly T[]; readonly nextToken: string | undefined };

/** NextToken and MaxResults. A token stands for the resources that were there at the first page and are still to be given. */
export class Pager {
  private readonly rest = new Map<string, readonly string[]>();
  private readonly newToken: () => string;

  constructor(newToken: () => string) {
    this.newToken = newToken;
  }

  /** The asked-for page of what was found. Without MaxResults everything is one page. A token may be used again. */
  page<T>(params: Params, limits: PageLimits, found: readonly T[], idOf: (item: T) => string): Page<T> {
    const size = readPageSize(params, limits);
    const token = params.text("NextToken");
    const byId = new Map(found.map((item) => [idOf(item), item]));
    const ids = token === undefined ? [...byId.keys()] : this.rest.get(token);
    if (ids === undefined) {
      throw new Ec2Error(
        "InvalidPaginationToken",
        "The specified pagination token is not valid or has expired.",
      );
    }
    const items = ids.slice(0, size).flatMap((id) => byId.get(id) ?? []);
    return { items, nextToken: ids.length > size ? this.remember(ids.slice(size)) : undefined };
  }

  private remember(ids: readonly string[]): string {
    const token = this.newToken();
    this.rest.set(token, ids);
    return token;
  }
}

function readPageSize(params: Params, limits: PageLimits): number {
  const size = params.integer("MaxResults");
  if (size === undefined) return Number.POSITIVE_INFINITY;
  if (limits.notWith !== undefined && params.list(limits.notWith).length > 0) {
    throw invalidCombination(`The parameter ${limits.notWith} cannot be used with the parameter MaxResults`);
  }
  if (size < limits.min || size > limits.max) {
    throw invalidValue(
      `Value ( ${size} ) for parameter maxResults is invalid. Expecting a value from ${limits.min} to ${limits.max}.`,
    );
  }
  return size;
}
