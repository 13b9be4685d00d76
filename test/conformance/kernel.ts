/**
 * What every Kernel promises, run by the one in memory and by the real one. The harness gives a fresh host namespace per test.
 */
import { afterEach, beforeEach, describe } from "vitest";
import { describeAddresses } from "./kernel/addresses.ts";
import { describeEvents } from "./kernel/events.ts";
import { KernelFixture, type KernelHarness } from "./kernel/fixture.ts";
import { describeLinks } from "./kernel/links.ts";
import { describeNamespaces } from "./kernel/namespaces.ts";
import { describeNft } from "./kernel/nft.ts";
import { describeRoutes } from "./kernel/routes.ts";
import { describeRules } from "./kernel/rules.ts";

/** Declares the suite. */
export function describeKernel(name: string, createHarness: () => Promise<KernelHarness>): void {
  describe(name, () => {
    const fixture = new KernelFixture();
    beforeEach(async () => fixture.use(await createHarness()));
    afterEach(() => fixture.harness.close());
    describeLinks(fixture);
    describeAddresses(fixture);
    describeRoutes(fixture);
    describeRules(fixture);
    describeNamespaces(fixture);
    describeNft(fixture);
    describeEvents(fixture);
  });
}
