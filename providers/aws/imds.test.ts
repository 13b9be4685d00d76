import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../common/clock.ts";
import { parseMac } from "../../common/ids.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import { CloudError } from "../errors.ts";
import { credentialSource } from "./credentials.ts";
import { Imds } from "./imds.ts";

const labs: AwsLab[] = [];
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.close()));
});

async function start() {
  const lab = await AwsLab.start();
  labs.push(lab);
  const service = lab.ec2.imds(lab.instance);
  const imds = new Imds({ endpoint: lab.ec2.imdsEndpoint(lab.instance), clock: systemClock, timeoutMs: 200 });
  return { lab, service, faults: service.faults, imds };
}

const soon = () => AbortSignal.timeout(20_000);

describe("Imds", () => {
  it("reads the node's identity with one token", async () => {
    const { lab, service, imds } = await start();
    const identity = await imds.identity(soon());
    expect(identity).toMatchObject({
      instanceId: lab.instance.id,
      instanceType: "m5.large",
      region: "eu-west-1",
      zone: "eu-west-1a",
    });
    await imds.identity(soon());
    expect(service.requests.filter((path) => path === "api/token")).toHaveLength(1);
  });

  it("renews the token when it is refused", async () => {
    const { service, imds } = await start();
    await imds.identity(soon());
    service.expireTokens();
    await expect(imds.identity(soon())).resolves.toBeDefined();
  });

  it("takes a value with a newline at its end", async () => {
    const { faults, imds } = await start();
    faults.append(/^meta-data\//, "\n");
    await expect(imds.identity(soon())).resolves.toMatchObject({ instanceType: "m5.large" });
  });

  it.each([
    ["an HTML page with status 200", "html"],
    ["429", "throttle"],
    ["404 for a while", "hide"],
    ["silence", "hang"],
  ] as const)("waits a little for a value instead of which comes %s", async (_, fault) => {
    const { faults, imds } = await start();
    faults[fault](/instance-type/, fault === "hide" ? 1 : 2);
    const identity = imds.identity(soon());
    // a 404 is an answer: there is no such value, and the caller decides when to ask again
    if (fault === "hide") await expect(identity).rejects.toMatchObject({ code: "unavailable" });
    await expect(fault === "hide" ? imds.identity(soon()) : identity).resolves.toMatchObject({
      instanceType: "m5.large",
    });
  });

  it.each(["html", "hang"] as const)(
    "gives up in bounded time, without version 1: token %s",
    async (fault) => {
      const { service, faults, imds } = await start();
      faults[fault](/api\/token/, 1_000);
      const begun = performance.now();
      await expect(imds.identity(soon())).rejects.toMatchObject({ code: "unavailable", retry: "soon" });
      expect(performance.now() - begun).toBeLessThan(5_000);
      expect(service.requests.every((path) => path === "api/token")).toBe(true);
    },
  );

  it("gives undefined for a value that is not there", async () => {
    const { imds } = await start();
    const path = "meta-data/network/interfaces/macs/02:ff:ff:ff:ff:ff/mac";
    expect(await imds.find(path, parseMac, soon())).toBeUndefined();
  });

  it("never shows what may be a secret", async () => {
    const { faults, imds } = await start();
    const body = '{"Code":"Success","SecretAccessKey":"hunter2"}';
    faults.add(/security-credentials\/./, { kind: "answer", status: 200, body }, 10);
    const failure = await credentialSource({ from: "instance" }, imds)().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CloudError);
    const all = [failure, (failure as Error).cause].map((error) =>
      String((error as Error | undefined)?.message),
    );
    expect(all.join(" ")).not.toContain("hunter2");
    expect(all.join(" ")).toContain("credentials without");
  });

  it("gives the instance role's keys with their end", async () => {
    const { imds } = await start();
    const keys = await credentialSource({ from: "instance" }, imds)();
    expect(keys.sessionToken).not.toBe("");
    expect(keys.expiration?.getTime()).toBeGreaterThan(Date.now());
  });
});
