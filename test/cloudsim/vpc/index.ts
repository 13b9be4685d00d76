export { runIn } from "./commands.ts";
export { type Counters, formatRisen, risen } from "./counters.ts";
export { DOCKER, HOSTILE, type NodeProfile, setForwardPolicy } from "./node.ts";
export { buildVpc, EXT, type Place, Vpc, type VpcSpec } from "./vpc.ts";
