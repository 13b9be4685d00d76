import { beforeEach, describe, expect, it } from "vitest";
import { Account, GO_SDK_RETRIES } from "./account.ts";
import { Random } from "./random.ts";
import { VirtualClock } from "./virtual-clock.ts";

let clock: VirtualClock;
let account: Account;
const once = { attempts: 1, pauseMs: 0 };

beforeEach(() => {
  clock = new VirtualClock();
  account = new Account({ clock, random: new Random("account"), latencyScale: 1, budgetScale: 1 });
  account.begin(1);
});

async function outcomes(count: number, retries = once): Promise<number> {
  let passed = 0;
  for (let index = 0; index < count; index += 1)
    account
      .call("AssignPrivateIpAddresses", retries, () => undefined)
      .then(
        () => {
          passed += 1;
        },
        () => undefined,
      );
  await clock.run(clock.now() + 60_000);
  return passed;
}

describe("Account", () => {
  it("lets as many requests of one action pass as its bucket holds, and then its rate", async () => {
    expect(await outcomes(80)).toBe(50);
    expect(account).toMatchObject({ calls: 80, throttled: 30 });
    // a minute at 5 a second fills it again
    expect(await outcomes(80)).toBe(50);
  });

  it("counts each action by itself", async () => {
    await outcomes(80);
    let reads = 0;
    for (let index = 0; index < 100; index += 1)
      account.call("DescribeNetworkInterfaces", once, () => (reads += 1)).catch(() => undefined);
    await clock.run(clock.now() + 10_000);
    expect(reads).toBe(100);
  });

  it("repeats what was throttled as an SDK does, and counts every request", async () => {
    expect(await outcomes(80, GO_SDK_RETRIES)).toBeGreaterThan(60);
    expect(account.calls).toBeGreaterThan(110);
    expect(account.calls).toBe(account.byAction.get("AssignPrivateIpAddresses"));
  });

  it("rejects with RequestLimitExceeded when the attempts are used up", async () => {
    await outcomes(50);
    account.setShare(0.02);
    const codes: unknown[] = [];
    for (let index = 0; index < 3; index += 1)
      account
        .call("AssignPrivateIpAddresses", once, () => undefined)
        .catch((error: { code: string }) => codes.push(error.code));
    await clock.run(clock.now() + 1_000);
    expect(codes).toEqual(["RequestLimitExceeded", "RequestLimitExceeded"]);
  });

  it("sets no limit while its share is infinite", async () => {
    account.begin(Number.POSITIVE_INFINITY);
    expect(await outcomes(500)).toBe(500);
  });
});
