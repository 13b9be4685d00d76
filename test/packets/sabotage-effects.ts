/**
 * Which cells of the matrix fail under each sabotage: exactly those that match one of its patterns. In words: what the
 * mechanism is for.
 */
const SECONDARY = String.raw`(10\.0\.0\.20|10\.0\.1\.30|203\.0\.113\.20|fd00:10::20|fd00:10:1::30)`;

/** From outside to pods of secondary uplinks, and to secondary addresses of the node. */
const inBySecondary = (family: string): RegExp[] => [
  new RegExp(`^(ext|peer|peer1|peered|rb) -> (p1|p2) .*${family}$`),
  new RegExp(`^ext <-> (p1|p2) .*${family}$`),
];
const nodePortsBySecondary = new RegExp(`^(ext|peer).* -> NodePort ${SECONDARY} `);

/** From pods of secondary uplinks to what is outside the node and inside the VPC. */
const outBySecondary = (pods: string, family: string): RegExp[] => [
  new RegExp(`^${pods} -> (node-b|peer|peer1|rb) .*${family}$`),
  new RegExp(`^${pods} -> ClusterIP (dns udp|npCluster|npLocal|web) ${family}$`),
];

/** What passes through the node: not its own packets, nor those that end there. */
const through = (family: string): RegExp =>
  new RegExp(
    String.raw`^(?!node-a|forged|proxy|p\d -> (node-a|ClusterIP (npHost|without))).*\bp[012]\b.*${family}$`,
  );

export const FAILING_CELLS: Readonly<Record<string, readonly RegExp[]>> = {
  "rule-pods": [
    /^(?!forged|proxy).*\bp[012]\b/,
    /ClusterIP (dns udp|npCluster|npLocal|one|web) /,
    /NodePort \S+ (cluster|local)$/,
  ],
  "rule-main-specific": [
    /^docker -> node-a (10\.0\.0\.20|10\.0\.1\.30|fd00:10::20|fd00:10:1::30) /,
    /^p\d -> docker .*ipv6$/,
  ],
  "rule-uplink-mark": [
    ...inBySecondary("ipv."),
    nodePortsBySecondary,
    ...outBySecondary("(p1|p2)", "ipv."),
    /^(p1|p2) -> (ext|peered) .*ipv6$/,
    /^proxy/,
  ],
  "rule-uplink-address": [
    /^node-a (10\.0\.0\.20|10\.0\.1\.30|fd00:10::20|fd00:10:1::30) -> (peer|peer1|rb) /,
  ],
  "unit-map-element": [...outBySecondary("p1", "ipv4"), /^proxy .*ipv4$/],
  "ct-mark-save": [...inBySecondary("ipv."), nodePortsBySecondary],
  "ct-mark-restore": [
    /^(ext|peered) -> (p1|p2) .*ipv4$/,
    /^ext <-> (p1|p2) .*ipv4$/,
    /^(ext|peer) -> NodePort (10\.0\.1\.30|fd00:10:1::30|fd00:10::10) (cluster|local)$/,
    /^(ext|peer).* -> NodePort (10\.0\.0\.20|fd00:10::20|203\.0\.113\.20) cluster$/,
    /^peer -> NodePort 10\.0\.0\.10 (cluster|local)$/,
    /^ext.* -> NodePort (10\.0\.0\.20|203\.0\.113\.20) local$/,
  ],
  "reply-limit": [
    /^(ext|peer).* -> NodePort (10\.0\.0\.20|10\.0\.1\.30|fd00:10::20|fd00:10:1::30|203\.0\.113\.20) cluster$/,
  ],
  "output-chain": [new RegExp(`NodePort ${SECONDARY} hostNetwork$`), /^proxy/],
  "priority-after-dnat": [/^(p1|p2) -> ClusterIP (dns udp|npCluster|npLocal|web) ipv4$/],
  "mark-mask": [
    /^p\d -> NodePort \S+ cluster$/,
    /^p1 -> NodePort \S+ local$/,
    /^p0 -> ClusterIP (dns udp|web) /,
    /^p1 -> ClusterIP (npCluster|npLocal|web) /,
    /^p2 -> ClusterIP one /,
  ],
  snat: [
    /^p\d -> ext .*ipv4$/,
    /^p[12] -> peered .*ipv4$/,
    // a ping does not tell which source was seen, and p0's own address passes at eth0
    /^p0 -> peered (tcp|udp) ipv4$/,
    /^ext <-> p\d .*ipv4$/,
  ],
  "anti-spoofing": [/^forged/],
  "rp-filter": [
    ...inBySecondary("ipv4"),
    /^(ext|peer).* -> NodePort (10\.0\.0\.20|10\.0\.1\.30|203\.0\.113\.20) /,
    ...outBySecondary("(p1|p2)", "ipv4"),
    /^(p1|p2) -> NodePort 10\.\S+ cluster$/,
  ],
  noprefixroute: [/^node-a -> peer1 (tcp|udp) ipv4$/, /^node-a 10\.0\.0\.10 -> peer1 .*ipv4$/],
  "ip-forward": [
    through("ipv4"),
    /^p\d -> ClusterIP without endpoints is refused ipv4$/,
    /^(?!node-a).* -> NodePort (10|203)\.\S+ (cluster|local)$/,
  ],
  // with kube-proxy in iptables mode, which itself accepts what it masquerades
  "forward-accepts": [
    new RegExp(`^(?!p2 -> ClusterIP one)${through("ipv.").source}`),
    /^(ext|peer|p0|p2).* -> NodePort \S+ local$/,
  ],
  "pod-neighbour": [
    /^(?!forged|proxy).*\bp1\b.*ipv4$/,
    /ClusterIP (npCluster|npLocal|web) ipv4$/,
    /NodePort (10|203)\.\S+ (cluster|local)$/,
  ],
  "cloud-address": [
    /^(ext|peer|peer1|peered|rb) -> p1 .*ipv4$/,
    /^ext <-> p1 .*ipv4$/,
    ...outBySecondary("p1", "ipv4"),
    /^proxy .*ipv4$/,
  ],
};
