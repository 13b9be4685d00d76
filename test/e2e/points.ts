/**
 * The injection points of ADD, DEL, the undoing of an ADD, and the journal, found by running them: nobody keeps a list that a new write could be
 * missing from. What a run did not reach is found by comparing with the source.
 */
import { globSync, readFileSync } from "node:fs";
import { addPod } from "../../cni/add.ts";
import { delPod } from "../../cni/del.ts";
import { podLink } from "../../cni/pod-link.ts";
import type { FaultPoints } from "../../common/fault-points.ts";
import type { Cidr } from "../../common/ip.ts";
import { attachment, memoryDaemon, NETNS, units } from "./memory-daemon.ts";

/** One moment to die at: the nth time that the point is reached, as CAUSEWAY_TEST_CRASH_AT has it (`point:n`). */
export type CrashMoment = string;

/** Moments by what the daemon is doing, in their order. */
export type RecordedPoints = {
  readonly add: readonly CrashMoment[];
  readonly del: readonly CrashMoment[];
  /** Undoing a finished attachment whose plugin is gone. */
  readonly undo: readonly CrashMoment[];
  /** Addresses' cooling ends. */
  readonly coolingEnds: readonly CrashMoment[];
  /** A unit comes from the cloud. */
  readonly hold: readonly CrashMoment[];
  /** The cloud took a unit away. */
  readonly drop: readonly CrashMoment[];
  /** Another interface of the node has a unit. */
  readonly move: readonly CrashMoment[];
  /** A unit goes back to the cloud. */
  readonly release: readonly CrashMoment[];
  readonly keep: readonly CrashMoment[];
};

/** Dual stack, so that every point is reached as often as a pod of the tests reaches it. */
export async function recordPoints(): Promise<RecordedPoints> {
  const reached: string[] = [];
  const points: FaultPoints = { reach: (point) => void reached.push(point) };
  const during = async (work: () => unknown): Promise<CrashMoment[]> => {
    reached.length = 0;
    await work();
    return numbered(reached);
  };
  const { deps, journal } = await memoryDaemon(points);
  const request = (startedAt: number) => ({ attachment, netnsPath: NETNS, pod: {}, startedAt });
  const hold = await during(() => journal.hold(1, units[0] as Cidr));
  const add = await during(() => addPod(deps, request(1), new AbortController().signal));
  const del = await during(() => delPod(deps, { attachment, startedAt: 2 }));
  const never = new AbortController().signal;
  await deps.dyingLinks.gone(podLink(attachment).hostName, never);
  // the plugin is gone once the attachment has been made, and before its answer
  const undone = await during(() =>
    addPod(deps, { ...request(3), isAbandoned: () => true }, never).catch(() => undefined),
  );
  const coolingEnds = await during(() => units.forEach((unit) => void journal.unclaim(unit.first)));
  const move = await during(() => journal.move(units[0] as Cidr, 1, 2));
  const release = await during(() => journal.startRelease(units[0] as Cidr));
  const keep = await during(() => journal.cancelRelease(units[0] as Cidr));
  const drop = await during(() => journal.drop(1, units[0] as Cidr));
  return {
    add,
    del,
    undo: undone.filter((moment) => !add.includes(moment)),
    coolingEnds,
    hold,
    drop,
    move,
    release,
    keep,
  };
}

/** Places in the source, by file, that no recorded moment stands for. */
export function unrecordedPlaces(recorded: RecordedPoints): string[] {
  const names = Object.values(recorded).flatMap((moments: readonly string[]) =>
    moments.map((moment) => moment.split(":")[0] ?? ""),
  );
  return globSync(["cni/**/*.ts", "ipamd/**/*.ts"])
    .filter((file) => !file.endsWith(".test.ts"))
    .flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/(\w+\.)?\breach\((["`])(.*?)\2\)/g)]
        .filter(([, owner, , text = ""]) => !names.some((name) => patternOf(text, owner).test(name)))
        .map(([place]) => `${file}: ${place}`),
    );
}

/** `${x}` stands for anything; a function that only passes a name on adds something before it. */
function patternOf(text: string, owner: string | undefined): RegExp {
  const pattern = text.replaceAll(".", "\\.").replaceAll(/\$\{.*?\}/g, ".+");
  return new RegExp(`${owner === undefined ? "\\." : "^"}${pattern}$`);
}

function numbered(reached: readonly string[]): CrashMoment[] {
  const counts = new Map<string, number>();
  return reached.map((point) => {
    const hit = (counts.get(point) ?? 0) + 1;
    counts.set(point, hit);
    return `${point}:${hit}`;
  });
}
