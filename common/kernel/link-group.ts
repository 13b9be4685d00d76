import { ignoring } from "./errors.ts";
import { NetlinkLinks, removalOfGroup } from "./netlink-links.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/**
 * Removes the links of a group whose names begin with the prefix, all in one message: the kernel waits 10 to 40 ms, once. Foreign ones
 * leave the group first. Gives how many were removed. Throws RangeError for group 0, which every link is in.
 */
export function removeLinkGroup(socket: NetlinkSocket, group: number, namePrefix: string): number {
  if (group <= 0) throw new RangeError(`the links of group ${group} are not to be removed`);
  const links = new NetlinkLinks(socket);
  const members = links.list().filter((link) => link.group === group);
  const foreign = members.filter((link) => !link.name.startsWith(namePrefix));
  for (const link of foreign) ignoring(["ENODEV"], () => links.change(link.index, { group: 0 }));
  const count = members.length - foreign.length;
  // ENODEV: the last of them went meanwhile
  const answer = count > 0 ? ignoring(["ENODEV"], () => socket.ask(removalOfGroup(group))) : undefined;
  return answer === undefined ? 0 : count;
}
