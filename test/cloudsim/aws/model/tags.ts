import type { Account } from "./account.ts";
import { Ec2Error, invalidValue } from "./ec2-error.ts";

const TAGS_MAX = 50;

/** Throws for keys and values that EC2 refuses ("Tag your Amazon EC2 resources", restrictions). */
export function checkTags(tags: ReadonlyMap<string, string>): void {
  for (const [key, value] of tags) {
    if (key === "" || key.length > 128) throw invalidValue("Tag keys must be from 1 to 128 characters long");
    if (value.length > 256) throw invalidValue("Tag value exceeds the maximum length of 256 characters");
    if (key.toLowerCase().startsWith("aws:")) {
      throw invalidValue("Tag keys starting with 'aws:' are reserved for internal use");
    }
  }
  if (tags.size > TAGS_MAX) {
    throw new Ec2Error("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.");
  }
}

/** CreateTags: adds and overwrites, on all resources or on none. */
export function createTags(
  account: Account,
  resourceIds: readonly string[],
  tags: ReadonlyMap<string, string>,
): void {
  const targets = resourceIds.map((id) => account.tagsOf(id));
  for (const target of targets) checkTags(new Map([...target, ...tags]));
  checkTags(tags);
  for (const target of targets) for (const [key, value] of tags) target.set(key, value);
  account.changed();
}

/** DeleteTags: a tag with a value goes only when the value is the same; without tags all go. */
export function deleteTags(
  account: Account,
  resourceIds: readonly string[],
  tags: ReadonlyMap<string, string | undefined>,
): void {
  for (const target of resourceIds.map((id) => account.tagsOf(id))) {
    if (tags.size === 0) target.clear();
    for (const [key, value] of tags) {
      if (value === undefined || target.get(key) === value) target.delete(key);
    }
  }
  account.changed();
}
