/**
 * Pods' packets through a FORWARD chain whose policy is DROP (docker, ufw and firewalld set it): three accepts of ours,
 * before everything else but kube-proxy's own jumps, so that kube-proxy still refuses Services without endpoints. An
 * accept in our own nft table cannot do this: another chain's drop is final.
 */
import { POD_LINK_PREFIX } from "../../common/constants.ts";
import type { Family } from "../../common/ip.ts";
import type { Xtables, XtablesChain } from "../../common/kernel/xtables.ts";

const COMMENT = "-m comment --comment causeway";

/** As iptables prints them. The last: NodePort to a pod of another node, which kube-proxy's nftables mode accepts nowhere. */
export const FORWARD_ACCEPTS: readonly string[] = [
  `-i ${POD_LINK_PREFIX}+ ${COMMENT} -j ACCEPT`,
  `-o ${POD_LINK_PREFIX}+ ${COMMENT} -j ACCEPT`,
  `-m conntrack --ctstate DNAT ${COMMENT} -j ACCEPT`,
];

/**
 * Makes the accepts the first rules of every FORWARD chain in use that are not jumps of kube-proxy. Repeatable; gives a line for
 * each chain it had to write to. Throws KernelError.
 */
export async function applyForwardAccepts(xtables: Xtables, families: readonly Family[]): Promise<string[]> {
  const written: string[] = [];
  for (const family of families) {
    for (const backend of await xtables.backends(family)) {
      if (await ensureIn(xtables, { backend, family }))
        written.push(`xtables: FORWARD of ${backend} IPv${family}`);
    }
  }
  return written;
}

async function ensureIn(xtables: Xtables, chain: XtablesChain): Promise<boolean> {
  const rules = await xtables.readForward(chain);
  const change = planForward(rules);
  if (change === undefined) return false;
  await xtables.changeForward(chain, change);
  return true;
}

/** Takes ours out of every FORWARD chain in use. Repeatable; gives the chains it had to write to. Throws KernelError. */
export async function removeForwardAccepts(
  xtables: Xtables,
  families: readonly Family[],
): Promise<XtablesChain[]> {
  const found = await findForwardAccepts(xtables, families);
  for (const { chain, rules } of found) {
    await xtables.changeForward(chain, { remove: rules, insert: [], position: 0 });
  }
  return found.map(({ chain }) => chain);
}

/** The chains that have rules of ours, with them. Changes nothing. */
export async function findForwardAccepts(
  xtables: Xtables,
  families: readonly Family[],
): Promise<{ readonly chain: XtablesChain; readonly rules: readonly string[] }[]> {
  const found = [];
  for (const family of families) {
    for (const backend of await xtables.backends(family)) {
      const chain = { backend, family };
      const rules = (await xtables.readForward(chain)).filter(isOurAccept);
      if (rules.length > 0) found.push({ chain, rules });
    }
  }
  return found;
}

/** What to change in a FORWARD chain with these rules; undefined when nothing. Pure. */
export function planForward(
  rules: readonly string[],
):
  | { readonly remove: readonly string[]; readonly insert: readonly string[]; readonly position: number }
  | undefined {
  const position = firstIndexNot(rules, isKubeProxyJump);
  const there = rules.slice(position, position + FORWARD_ACCEPTS.length);
  const remove = rules.filter(isOurAccept);
  if (remove.length === FORWARD_ACCEPTS.length && there.every((rule, at) => rule === FORWARD_ACCEPTS[at])) {
    return undefined;
  }
  return {
    remove,
    insert: FORWARD_ACCEPTS,
    position: firstIndexNot(
      rules.filter((rule) => !isOurAccept(rule)),
      isKubeProxyJump,
    ),
  };
}

/** True for a rule, as iptables prints it, that is ours: known by its comment, also of an older version. */
export function isOurAccept(rule: string): boolean {
  return rule.includes(COMMENT);
}

function isKubeProxyJump(rule: string): boolean {
  return /-j KUBE-/.test(rule);
}

function firstIndexNot(rules: readonly string[], test: (rule: string) => boolean): number {
  const index = rules.findIndex((rule) => !test(rule));
  return index < 0 ? rules.length : index;
}
