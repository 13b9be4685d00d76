/**
 * Traffic from inside any network namespace, out of this one process: echo servers that answer with the source they
 * saw, clients with a chosen source, pings, forged packets, path MTU. A socket belongs for life to the namespace it was
 * born in, so only its birth happens there; everything after is plain asynchronous work here, without a child per probe.
 */
export { type Question, type Reply, TcpFlow, tcpAsk, udpAsk } from "./ask.ts";
export { type EchoSpec, tcpEcho, udpEcho } from "./echo.ts";
export { type Forged, Sink, sendForged, sendRouterAdvert, sendSolicitation } from "./forge.ts";
export { inNetns } from "./netns-window.ts";
export { learnedMtu } from "./path-mtu.ts";
export { type Ping, ping } from "./ping.ts";
