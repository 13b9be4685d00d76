import { describe, expect, it } from "vitest";
import { toCloudError } from "./errors.ts";

function thrown(name: string, message = "words") {
  return Object.assign(new Error(message), { name });
}

describe("toCloudError()", () => {
  it.each([
    ["RequestLimitExceeded", "throttled", "soon"],
    ["InsufficientFreeAddressesInSubnet", "subnet-exhausted", "elsewhere"],
    ["InsufficientCidrBlocks", "subnet-exhausted", "elsewhere"],
    ["PrivateIpAddressLimitExceeded", "limit-reached", "elsewhere"],
    ["AttachmentLimitExceeded", "limit-reached", "elsewhere"],
    ["NetworkInterfaceLimitExceeded", "limit-reached", "elsewhere"],
    ["InvalidNetworkInterfaceID.NotFound", "not-found", "later"],
    ["InvalidNetworkInterfaceId.Malformed", "invalid", "never"],
    ["InvalidNetworkInterface.InUse", "conflict", "now"],
    ["Client.UnauthorizedOperation", "unauthorized", "later"],
    ["InternalError", "unavailable", "soon"],
    ["TimeoutError", "unavailable", "soon"],
    ["AbortError", "unavailable", "soon"],
    ["SomethingNewFromAws", "unavailable", "soon"],
  ])("reads %s as %s, retry %s", (name, code, retry) => {
    expect(toCloudError("DescribeSubnets", thrown(name))).toMatchObject({ code, retry });
  });

  it("tells two meanings of InvalidParameterValue by text, and only with that code", () => {
    const full = "There aren't sufficient free Ipv4 addresses or prefixes";
    const taken = "Instance 'i-1' already has an interface attached at device index '1'.";
    expect(toCloudError("X", thrown("InvalidParameterValue", full)).code).toBe("subnet-exhausted");
    expect(toCloudError("X", thrown("InvalidParameterValue", taken)).code).toBe("conflict");
    expect(toCloudError("X", thrown("InvalidParameterValue", "Value (x) is bad")).code).toBe("invalid");
    expect(toCloudError("X", thrown("InternalError", full)).code).toBe("unavailable");
  });

  it("names the missing IAM action", () => {
    const error = toCloudError("AttachNetworkInterface", thrown("UnauthorizedOperation", "You are not"));
    expect(error.message).toContain("ec2:AttachNetworkInterface");
  });

  it("waits after an HTML page, and keeps it out of the message", () => {
    const page = `<html><body>Bad Gateway</body></html>\n${"x".repeat(5_000)}`;
    for (const name of ["Unknown", "@aws-sdk XML parse error"]) {
      const error = toCloudError("DescribeVpcs", thrown(name, page));
      expect(error.code).toBe("unavailable");
      expect(error.message.length).toBeLessThan(400);
    }
  });
});
