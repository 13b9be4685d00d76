import { missingParameter } from "../model/ec2-error.ts";
import { createTags, deleteTags } from "../model/tags.ts";
import { existingResource } from "./access.ts";
import type { Action } from "./action.ts";
import type { Params } from "./params.ts";

/** `Tag.N.Key` and `Tag.N.Value`; a tag without a value has an empty one. */
export function readTags(records: readonly Params[]): Map<string, string> {
  return new Map(records.map((tag) => [tag.required("Key"), tag.text("Value") ?? ""]));
}

const createTagsAction: Action = (params, { account }) => {
  const ids = params.list("ResourceId");
  const tags = readTags(params.records("Tag"));
  if (ids.length === 0) throw missingParameter("resourceIdSet");
  if (tags.size === 0) throw missingParameter("Tag");
  return {
    access: [{ action: "ec2:CreateTags", resources: ids.map((id) => existingResource(account, id, tags)) }],
    run: () => {
      createTags(account, ids, tags);
      return { return: true };
    },
  };
};

const deleteTagsAction: Action = (params, { account }) => {
  const ids = params.list("ResourceId");
  const tags = new Map(params.records("Tag").map((tag) => [tag.required("Key"), tag.text("Value")]));
  const requestTags = new Map([...tags].map(([key, value]) => [key, value ?? ""]));
  if (ids.length === 0) throw missingParameter("resourceIdSet");
  return {
    access: [
      { action: "ec2:DeleteTags", resources: ids.map((id) => existingResource(account, id, requestTags)) },
    ],
    run: () => {
      deleteTags(account, ids, tags);
      return { return: true };
    },
  };
};

export const TAG_ACTIONS: Readonly<Record<string, Action>> = {
  CreateTags: createTagsAction,
  DeleteTags: deleteTagsAction,
};
