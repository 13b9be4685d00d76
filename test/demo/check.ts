/** What a check of the demo is, and how its probes are put together. */
import { setTimeout as delay } from "node:timers/promises";
import type { Family } from "../../common/ip.ts";
import { type Question, type Reply, tcpAsk, udpAsk } from "../cloudsim/probe/index.ts";
import { formatRisen, risen } from "../cloudsim/vpc/index.ts";
import { addressOf, ECHO_PORT, type Host, type World } from "./world.ts";

export type Check = {
  /** Stable: sabotages name the checks that must fail. */
  readonly name: string;
  /** For people. */
  readonly shows: string;
  /** What failed, one line each; nothing means that the check holds. */
  readonly run: (world: World) => Promise<readonly string[]>;
};

export type CheckResult = {
  readonly name: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly failures: readonly string[];
  /** Counters of refused packets that rose meanwhile, `name +n`. */
  readonly refused: string;
};

export const FAMILIES: readonly Family[] = [4, 6];

/** Runs a check; whatever it throws is a failure of it. */
export async function runCheck(check: Check, world: World): Promise<CheckResult> {
  const before = world.cluster.vpc.counters();
  const startedAt = performance.now();
  const failures = await check.run(world).catch((error: unknown) => [String(error)]);
  const refused = formatRisen(risen(before, world.cluster.vpc.counters()));
  return {
    name: check.name,
    ok: failures.length === 0,
    ms: performance.now() - startedAt,
    failures,
    refused,
  };
}

/** One expected conversation. */
export type Expectation = {
  readonly what: string;
  readonly from: { readonly netnsPath: string };
  readonly question: Question;
  readonly protocol?: "tcp" | "udp";
  /** Who must answer; any when absent. */
  readonly server?: string | readonly string[];
  /** The source that the server must see. */
  readonly seen?: { toString(): string };
  /** That no answer comes. */
  readonly refused?: true;
};

/** Holds all conversations at once; one line for each that goes otherwise. */
export async function converse(expectations: readonly Expectation[]): Promise<string[]> {
  const outcomes = await Promise.all(expectations.map(converseOnce));
  return outcomes.filter((failure) => failure !== undefined);
}

async function converseOnce(expected: Expectation): Promise<string | undefined> {
  const ask = expected.protocol === "udp" ? udpAsk : tcpAsk;
  const failure = judge(expected, await ask(expected.from.netnsPath, expected.question));
  return failure === undefined ? undefined : `${expected.what}: ${failure}`;
}

function judge({ refused, server, seen }: Expectation, reply: Reply): string | undefined {
  if (refused) return reply.ok ? `answered by ${reply.server}, wanted no answer` : undefined;
  if (!reply.ok) return reply.reason;
  const servers = server === undefined ? undefined : [server].flat();
  if (servers !== undefined && !servers.includes(reply.server))
    return `answered by ${reply.server}, wanted ${servers.join(" or ")}`;
  if (seen !== undefined && reply.seenSource.toString() !== seen.toString()) {
    return `${reply.server} saw ${reply.seenSource}, wanted ${seen}`;
  }
  return undefined;
}

/** TCP and UDP from one host to another's echo port, the source kept, in both families. */
export function direct(from: Host, to: Host): Expectation[] {
  return FAMILIES.flatMap((family) =>
    (["tcp", "udp"] as const).map((protocol) => ({
      what: `${from.name} to ${to.name} by ${protocol.toUpperCase()} over IPv${family}`,
      from,
      protocol,
      question: { to: addressOf(to, family), port: ECHO_PORT },
      server: to.name,
      seen: addressOf(from, family),
    })),
  );
}

/** Resolves once the condition holds, or at the deadline, with whether it did. */
export async function until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() >= deadline) return false;
    await delay(5);
  }
  return true;
}
