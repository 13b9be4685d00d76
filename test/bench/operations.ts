/** ADD, DEL, DEL with the namespace, and bursts of ADDs: this project, its peer and the floor in turn, round by round. */
import { setTimeout as delay } from "node:timers/promises";
import type { BenchPod, Side } from "./sides.ts";
import { median, quantile, type Ratio, ratioOf } from "./statistics.ts";

/** Who is compared. The floor has no pods beside those that are measured. */
export type Field = { readonly ours: Side; readonly peer: Side; readonly floor: Side };

export type Compared = { readonly p50Ms: number; readonly peerP50Ms: number } & Ratio;
export type ComparedToFloor = Compared & { readonly floorP50Ms: number; readonly floorRatio: number };
export type Operations = {
  readonly add: ComparedToFloor;
  readonly del: ComparedToFloor;
  readonly delNetns: ComparedToFloor;
};
/** Of the slowest ADDs of a burst; `p50Ms` and `peerP50Ms` are the ordinary ones. */
export type Burst = Compared & { readonly p99Ms: number; readonly peerP99Ms: number };

const SIDES = ["ours", "peer", "floor"] as const;
type SideName = (typeof SIDES)[number];
type Times = Record<SideName, number[]>;

/** What the kernel does behind a DEL, of every side, is over by then. */
const SETTLE_MS = 12;

/** So many rounds, in each of which every side does everything once. */
export async function measureOperations(
  field: Field,
  rounds: number,
  progress: (done: number) => void,
): Promise<Operations> {
  const [add, del, delNetns] = [noTimes(), noTimes(), noTimes()];
  for (let round = 0; round < rounds; round += 1) {
    for (const name of inTurn(round)) {
      const side = field[name];
      const pods = [await side.makePod(), await side.makePod()] as const;
      add[name].push(await side.addOne(pods[0]));
      await delay(SETTLE_MS);
      del[name].push(await side.delOne(pods[0]));
      await delay(SETTLE_MS);
      await side.addOne(pods[1]);
      await delay(SETTLE_MS);
      delNetns[name].push(await side.delWithNetns(pods[1]));
      await side.removePod(pods[0]);
      await delay(SETTLE_MS);
    }
    progress(round + 1);
  }
  return { add: compareAll(add), del: compareAll(del), delNetns: compareAll(delNetns) };
}

/** So many ADDs alone, into namespaces that look for duplicate addresses. */
export async function measureAddsWithDad(
  { ours, peer }: Field,
  rounds: number,
  progress: (done: number) => void,
): Promise<Compared> {
  const times = noTimes();
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, side] of Object.entries({ ours, peer }) as [SideName, Side][]) {
      const pod = await side.makePod({ dad: true });
      times[name].push(await side.addOne(pod));
      await side.delOne(pod);
      await side.removePod(pod);
      await delay(SETTLE_MS);
    }
    progress(round + 1);
  }
  return compare(times);
}

/** So many bursts of `size` ADDs at once. */
export async function measureBursts(
  field: Field,
  bursts: number,
  size: number,
  progress: (done: number) => void,
): Promise<Burst> {
  const p50: Times = noTimes();
  const p99: Times = noTimes();
  for (let burst = 0; burst < bursts; burst += 1) {
    for (const name of inTurn(burst)) {
      if (name === "floor") continue;
      const times = await burstOf(field[name], size);
      p50[name].push(median(times));
      p99[name].push(quantile(times, 0.99));
    }
    progress(burst + 1);
  }
  return {
    p50Ms: median(p50.ours),
    peerP50Ms: median(p50.peer),
    p99Ms: median(p99.ours),
    peerP99Ms: median(p99.peer),
    ...ratioOf(p99.ours, p99.peer),
  };
}

async function burstOf(side: Side, size: number): Promise<number[]> {
  const pods: BenchPod[] = [];
  while (pods.length < size) pods.push(await side.makePod());
  await delay(25 * SETTLE_MS);
  const times = (await side.add(pods)).map(({ ms }) => ms);
  for (const pod of pods) {
    await side.delOne(pod);
    await side.removePod(pod);
  }
  // addresses have cooled and namespaces are gone before the next
  await delay(2_000);
  return times;
}

/** Nobody is always first. */
function inTurn(round: number): SideName[] {
  return SIDES.map((_, index) => SIDES[(index + round) % SIDES.length] as SideName);
}

function noTimes(): Times {
  return { ours: [], peer: [], floor: [] };
}

function compare({ ours, peer }: Times): Compared {
  return { p50Ms: median(ours), peerP50Ms: median(peer), ...ratioOf(ours, peer) };
}

function compareAll(times: Times): ComparedToFloor {
  const { ours, floor } = times;
  return {
    ...compare(times),
    floorP50Ms: median(floor),
    floorRatio: ratioOf(ours, floor).ratio,
  };
}
