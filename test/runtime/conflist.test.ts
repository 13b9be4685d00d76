import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { writeFileAtomically } from "../../common/atomic-file.ts";
import { CONFLIST_NAME } from "../../ipamd/conflist.ts";
import { until } from "../shim/waiting.ts";
import { EDITIONS } from "./editions.ts";
import { type RunningPod, RuntimeNode } from "./runtime-node.ts";

const REPLACEMENTS = 200;
const LANES = 3;

describe.each(EDITIONS)("$name and the conflist", (edition) => {
  let world: RuntimeNode;
  let alive: RunningPod[];

  beforeAll(async () => {
    world = await RuntimeNode.start(edition);
  });

  beforeEach(async () => {
    alive = await world.runAll(["alive-1", "alive-2"]);
  });

  afterEach(() => world.clear());

  afterAll(() => world[Symbol.asyncDispose]());

  it(`starts and ends sandboxes while the list is replaced ${REPLACEMENTS} times`, async () => {
    const file = path.join(world.confDir, CONFLIST_NAME);
    const text = readFileSync(file, "utf8");
    let [replaced, ran] = [0, 0];
    const lane = async (number: number) => {
      while (replaced < REPLACEMENTS) {
        await world.end(await world.run(`lane-${number}`));
        ran += 1;
      }
    };
    const replace = async () => {
      for (; replaced < REPLACEMENTS; replaced += 1) {
        await writeFileAtomically(file, text + " ".repeat(replaced % 7), { mode: 0o600 });
        // spread over sandboxes that start
        await delay(10);
      }
    };
    await Promise.all([replace(), ...Array.from({ length: LANES }, (_, number) => lane(number))]);
    expect(ran).toBeGreaterThan(LANES);
    await world.expectExactly(alive);
  }, 60_000);

  it("aws-12: that was removed comes back by itself, and sandboxes of before it can be removed", async () => {
    const pods = await world.runAll(["before-1", "before-2"]);
    rmSync(path.join(world.confDir, CONFLIST_NAME));
    await until("the network is gone", async () => !(await world.containerd.cri.network()).status);
    await until("the network is back", async () => (await world.containerd.cri.network()).status);
    await world.expectTalk(pods);
    await world.endAll(pods);
    await world.expectExactly(alive);
  });

  it("aws-13: whose folder was removed and made again is used once the runtime was restarted", async () => {
    rmSync(world.confDir, { recursive: true });
    await until("the list is back", () => existsSync(path.join(world.confDir, CONFLIST_NAME)));
    // the watch went with the folder: 1.6 is not ready from then on, and 2.4 exits, for its service manager to start it
    await world.containerd.restart("SIGTERM");
    await world.networkIsReady();
    await world.expectTalk(alive);
    await world.expectExactly(alive);
  });
});

describe.each(EDITIONS)("$name and a conflist in a folder that was not there", (edition) => {
  it.each(["runtime", "daemon"] as const)(
    "aws-13: has its network when the %s starts first",
    async (first) => {
      await using world = await RuntimeNode.start(edition, first);
      const pods = await world.runAll(["first", "second"]);
      await world.expectTalk(pods);
      await world.expectExactly(pods);
    },
  );
});
