import type { Account } from "./account.ts";
import { Ec2Error, invalidCombination, invalidValue } from "./ec2-error.ts";

/** DeleteNetworkInterface: only when nothing holds it; its addresses are free at once. */
export function deleteInterface(account: Account, id: string): void {
  const networkInterface = account.getInterface(id);
  if (networkInterface.attachment !== undefined) {
    throw invalidValue(`Network interface '${id}' is currently in use.`);
  }
  account.interfaces.delete(networkInterface.id);
  account.changed();
}

export type InterfaceChanges = {
  readonly description?: string | undefined;
  readonly sourceDestCheck?: boolean | undefined;
  readonly groupIds?: readonly string[];
  readonly deleteOnTermination?: { readonly attachmentId: string; readonly value: boolean } | undefined;
};

/** ModifyNetworkInterfaceAttribute: exactly one attribute a call. */
export function modifyInterface(account: Account, id: string, changes: InterfaceChanges): void {
  const networkInterface = account.getInterface(id);
  const { description, sourceDestCheck, groupIds = [], deleteOnTermination } = changes;
  const asked = [description, sourceDestCheck, groupIds[0], deleteOnTermination].filter(
    (value) => value !== undefined,
  );
  if (asked.length !== 1) {
    throw invalidCombination("Exactly one network interface attribute must be specified");
  }
  const groups = groupIds.map((groupId) => account.getGroup(groupId));
  if (deleteOnTermination !== undefined) {
    const { attachment } = networkInterface;
    if (attachment?.id !== deleteOnTermination.attachmentId) {
      throw new Ec2Error(
        "InvalidAttachmentID.NotFound",
        `The attachment '${deleteOnTermination.attachmentId}' does not exist`,
      );
    }
    attachment.deleteOnTermination = deleteOnTermination.value;
  }
  networkInterface.description = description ?? networkInterface.description;
  networkInterface.sourceDestCheck = sourceDestCheck ?? networkInterface.sourceDestCheck;
  if (groups.length > 0) networkInterface.groups = groups;
  account.changed(networkInterface);
}
