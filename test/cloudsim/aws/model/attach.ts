import type { Account } from "./account.ts";
import { Ec2Error, invalidCombination, invalidValue } from "./ec2-error.ts";
import { checkUnitLimit, countUnits } from "./limits.ts";
import type { Attachment, Instance, NetworkInterface } from "./resources.ts";

export type AttachRequest = {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly deviceIndex: number;
  readonly cardIndex: number | undefined;
};

/** AttachNetworkInterface: the attachment is there at once, the link once attaching is over. */
export function attachInterface(account: Account, request: AttachRequest): Attachment {
  const networkInterface = account.getInterface(request.interfaceId);
  const instance = account.getInstance(request.instanceId);
  checkFree(networkInterface);
  checkPlace(account, networkInterface, instance, request);
  const attachment = newAttachment(account, instance, request.deviceIndex, request.cardIndex ?? 0);
  networkInterface.attachment = attachment;
  account.changed(networkInterface);
  account.timers.after(account.attachMs, () => {
    const isCurrent = networkInterface.attachment === attachment && attachment.status === "attaching";
    if (isCurrent) account.plug(networkInterface);
  });
  return attachment;
}

export function newAttachment(
  account: Account,
  instance: Instance,
  deviceIndex: number,
  cardIndex: number,
): Attachment {
  return {
    id: account.newId("eni-attach"),
    instanceId: instance.id,
    deviceIndex,
    cardIndex,
    attachTime: account.timers.now(),
    status: "attaching",
    deleteOnTermination: false,
    plugged: false,
  };
}

function checkFree({ id, attachment }: NetworkInterface): void {
  if (attachment !== undefined) {
    throw new Ec2Error("InvalidNetworkInterface.InUse", `Interface: [${id}] in use.`);
  }
}

function checkPlace(
  account: Account,
  networkInterface: NetworkInterface,
  instance: Instance,
  request: AttachRequest,
): void {
  if (instance.state === "terminated") {
    throw new Ec2Error("IncorrectInstanceState", `The instance '${instance.id}' is not in a valid state`);
  }
  if (instance.subnet.zone !== networkInterface.subnet.zone) {
    throw invalidCombination(
      "You may not attach a network interface to an instance if they are not in the same availability zone",
    );
  }
  checkUnitLimit(instance, countUnits(networkInterface));
  checkCard(account, networkInterface, instance, request.cardIndex ?? 0);
  checkDeviceIndex(account, instance, request);
}

function checkCard(
  account: Account,
  networkInterface: NetworkInterface,
  instance: Instance,
  cardIndex: number,
): void {
  const { type } = instance;
  const card = type.cards.find(({ index }) => index === cardIndex);
  if (card === undefined) {
    throw invalidValue(`NetworkCardIndex ${cardIndex} exceeds the limit for ${type.name}`);
  }
  if (!card.interfaceTypes.includes(networkInterface.type)) {
    throw invalidValue(
      `Network card ${cardIndex} of ${type.name} does not support interfaces of type ${networkInterface.type}`,
    );
  }
  const attached = account.interfacesOf(instance.id);
  const onCard = attached.filter(({ attachment }) => attachment?.cardIndex === cardIndex);
  if (onCard.length >= card.interfacesMax) {
    throw new Ec2Error(
      "AttachmentLimitExceeded",
      `Interface count ${attached.length + 1} exceeds the limit for ${type.name}`,
    );
  }
}

/**
 * Device indexes are per network card. EC2 gets that wrong when no card is named: then an index that is used on any card counts as
 * taken (cilium/cilium#42512), so a caller that leaves NetworkCardIndex to its default fails here as it does there.
 */
function checkDeviceIndex(account: Account, instance: Instance, request: AttachRequest): void {
  const { deviceIndex, cardIndex } = request;
  const isTaken = account
    .interfacesOf(instance.id)
    .some(
      ({ attachment }) =>
        attachment?.deviceIndex === deviceIndex &&
        (cardIndex === undefined || attachment.cardIndex === cardIndex),
    );
  if (isTaken) {
    throw invalidValue(
      `Instance '${instance.id}' already has an interface attached at device index '${deviceIndex}'.`,
    );
  }
}

/** DetachNetworkInterface: `detaching` at once, free and without a link once that is over. */
export function detachInterface(account: Account, attachmentId: string): void {
  const networkInterface = findByAttachment(account, attachmentId);
  const { attachment } = networkInterface;
  if (attachment.deviceIndex === 0 && attachment.cardIndex === 0) {
    throw new Ec2Error(
      "OperationNotPermitted",
      "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    );
  }
  if (attachment.status === "detaching") {
    throw new Ec2Error("IncorrectState", `The attachment '${attachmentId}' is already being detached`);
  }
  attachment.status = "detaching";
  account.changed(networkInterface);
  account.timers.after(account.detachMs, () => finishDetach(account, networkInterface, attachment));
}

function finishDetach(account: Account, networkInterface: NetworkInterface, attachment: Attachment): void {
  if (networkInterface.attachment !== attachment) return;
  account.unplug(networkInterface);
  delete networkInterface.attachment;
  account.changed(networkInterface);
}

/** Throws InvalidAttachmentID.NotFound. */
export function findByAttachment(
  account: Account,
  attachmentId: string,
): NetworkInterface & { readonly attachment: Attachment } {
  for (const networkInterface of account.interfaces.values()) {
    if (networkInterface.attachment?.id === attachmentId) {
      return networkInterface as NetworkInterface & { readonly attachment: Attachment };
    }
  }
  throw new Ec2Error("InvalidAttachmentID.NotFound", `The attachment '${attachmentId}' does not exist`);
}
