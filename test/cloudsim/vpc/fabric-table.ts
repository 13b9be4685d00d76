/**
 * The nft table of the fabric: what a VPC refuses, each refusal with a counter of its own. Names use slashes because nft
 * takes no spaces; counters() shows them as words.
 */

/** Link towards the internet, towards the load balancer that keeps clients' addresses, and where unassigned addresses go. */
export const INTERNET_LINK = "inet0";
export const BALANCER_LINK = "nlb0";
export const VOID_LINK = "void";

/** Packet and connection mark inside the fabric of what came by the load balancer, so that answers return to it. */
export const BALANCER_MARK = 1;

export const FABRIC_TABLE = `
table inet fabric {
  counter internet-private-source/ipv4 { }
  counter internet-unpublished/ipv4 { }
  counter unassigned/ipv4 { }
  counter unassigned/ipv6 { }
  map public-of { type ipv4_addr : ipv4_addr; }
  map private-of { type ipv4_addr : ipv4_addr; }
  map ports { type ifname : verdict; }
  chain source-check { type filter hook prerouting priority raw; policy accept;
    iifname vmap @ports
  }
  chain balancer { type filter hook prerouting priority mangle; policy accept;
    iifname "${BALANCER_LINK}" ct direction original ct mark set ${BALANCER_MARK}
    ct direction reply ct mark ${BALANCER_MARK} meta mark set ${BALANCER_MARK}
  }
  chain publish-in { type nat hook prerouting priority dstnat; policy accept;
    iifname "${INTERNET_LINK}" dnat ip to ip daddr map @private-of
  }
  chain publish-out { type nat hook postrouting priority srcnat; policy accept;
    oifname "${INTERNET_LINK}" snat ip to ip saddr map @public-of
  }
  chain from-internet {
    meta nfproto ipv6 return
    ct direction reply return
    ct status dnat return
    counter name internet-unpublished/ipv4 drop
  }
  chain to-internet {
    meta nfproto ipv6 return
    ct direction reply return
    ip saddr @published return
    counter name internet-private-source/ipv4 drop
  }
  set published { type ipv4_addr; }
  chain edge { type filter hook forward priority filter; policy accept;
    oifname "${VOID_LINK}" meta nfproto ipv4 counter name unassigned/ipv4 drop
    oifname "${VOID_LINK}" meta nfproto ipv6 counter name unassigned/ipv6 drop
    iifname "${INTERNET_LINK}" jump from-internet
    oifname "${INTERNET_LINK}" jump to-internet
  }
}
table arp fabric {
  set answered { type ipv4_addr; flags interval; auto-merge; }
  chain answers { type filter hook input priority filter; policy accept;
    arp operation request arp daddr ip != @answered drop
  }
}
`;

/** Chain, sets and counters of one port: only what is assigned to the interface may come out of it. */
export function portTable(link: string, label: string): string {
  return `
add counter inet fabric source-check/${label}/ipv4
add counter inet fabric source-check/${label}/ipv6
add set inet fabric own4-${link} { type ipv4_addr; flags interval; auto-merge; }
add set inet fabric own6-${link} { type ipv6_addr; flags interval; auto-merge; }
add chain inet fabric port-${link}
add rule inet fabric port-${link} ip saddr @own4-${link} return
add rule inet fabric port-${link} ip6 saddr @own6-${link} return
add rule inet fabric port-${link} ip6 saddr { ::, fe80::/10 } ip6 daddr { fe80::/10, ff02::/16 } return
add rule inet fabric port-${link} meta nfproto ipv4 counter name source-check/${label}/ipv4 drop
add rule inet fabric port-${link} meta nfproto ipv6 counter name source-check/${label}/ipv6 drop
add element inet fabric ports { "${link}" : goto port-${link} }
`;
}

/** The end of portTable(). */
export function portTableGone(link: string, label: string): string {
  return `
delete element inet fabric ports { "${link}" : goto port-${link} }
flush chain inet fabric port-${link}
delete chain inet fabric port-${link}
delete set inet fabric own4-${link}
delete set inet fabric own6-${link}
delete counter inet fabric source-check/${label}/ipv4
delete counter inet fabric source-check/${label}/ipv6
`;
}
