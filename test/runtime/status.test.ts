import { readFileSync, utimesSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CONFLIST_NAME, NETWORK } from "../../ipamd/conflist.ts";
import { until } from "../shim/waiting.ts";
import { EDITIONS } from "./editions.ts";
import { RuntimeNode } from "./runtime-node.ts";

/** Longer than the plugin keeps quiet about a daemon that is away. */
const LONG_AGO_S = 120;

describe.each(EDITIONS)("$name and the plugin's STATUS", (edition) => {
  let world: RuntimeNode;

  beforeAll(async () => {
    world = await RuntimeNode.start(edition);
  });

  afterEach(() => world.clear());

  afterAll(() => world[Symbol.asyncDispose]());

  /** What the runtime has chosen of what our conflist offers. */
  async function version(): Promise<string> {
    return (await world.containerd.cri.pluginList(NETWORK))?.version ?? "none";
  }

  it("chooses the newest version that both speak", async () => {
    const text = readFileSync(path.join(world.confDir, CONFLIST_NAME), "utf8");
    const { cniVersions } = JSON.parse(text) as { readonly cniVersions: readonly string[] };
    expect(await version()).toBe(cniVersions.filter((offered) => offered <= edition.cniVersion).at(-1));
  });

  it("is ready while a daemon is replaced, not for ever without one, and removes sandboxes all the same", async () => {
    const pods = await world.runAll(["first", "second"]);
    await world.node.daemon?.stop("SIGKILL");
    expect(await world.containerd.cri.network()).toMatchObject({ status: true });
    const heartbeat = path.join(path.dirname(world.node.socketPath), "alive");
    const longAgo = Date.now() / 1000 - LONG_AGO_S;
    utimesSync(heartbeat, longAgo, longAgo);
    // a runtime of an older version looks at the conflist only
    const asks = (await version()) === "1.1.0";
    const { status, message } = await world.containerd.cri.network();
    expect(status, message).toBe(!asks);
    await world.endAll(pods);
    await world.startDaemon();
    await until("ready again", async () => (await world.containerd.cri.network()).status);
    await world.expectExactly([]);
  });
});
