import { modifyInterface } from "../model/change-interface.ts";
import { invalidValue } from "../model/ec2-error.ts";
import { onExisting } from "./access.ts";
import type { Action } from "./action.ts";
import { attachmentXml, groupSet } from "./render.ts";
import { Sight } from "./sight.ts";

const modifyNetworkInterfaceAttribute: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const groupIds = params.list("SecurityGroupId");
  const attachmentId = params.text("Attachment.AttachmentId");
  const deleteOnTermination = params.boolean("Attachment.DeleteOnTermination");
  const changes = {
    groupIds,
    description: params.text("Description.Value"),
    sourceDestCheck: params.boolean("SourceDestCheck.Value"),
    deleteOnTermination:
      attachmentId === undefined || deleteOnTermination === undefined
        ? undefined
        : { attachmentId, value: deleteOnTermination },
  };
  return {
    access: [onExisting(context.account, "ModifyNetworkInterfaceAttribute", [id, ...groupIds])],
    run: () => {
      modifyInterface(context.account, id, changes);
      return { return: true };
    },
  };
};

const describeNetworkInterfaceAttribute: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const attribute = params.text("Attribute") ?? "description";
  const { account } = context;
  return {
    access: [onExisting(context.account, "DescribeNetworkInterfaceAttribute", [id])],
    run: () => {
      const { attachment, ...rest } = new Sight(account).getInterface(id);
      const reply = { networkInterfaceId: id };
      switch (attribute) {
        case "description":
          return { ...reply, description: { value: rest.description } };
        case "groupSet":
          return { ...reply, groupSet: groupSet(rest.groups) };
        case "sourceDestCheck":
          return { ...reply, sourceDestCheck: { value: rest.sourceDestCheck } };
        case "attachment":
          return attachment === undefined
            ? reply
            : { ...reply, attachment: attachmentXml(account, attachment) };
        default:
          throw invalidValue(`Value (${attribute}) for parameter attribute is invalid.`);
      }
    },
  };
};

export const ATTRIBUTE_ACTIONS: Readonly<Record<string, Action>> = {
  ModifyNetworkInterfaceAttribute: modifyNetworkInterfaceAttribute,
  DescribeNetworkInterfaceAttribute: describeNetworkInterfaceAttribute,
};
