import { describe, expect, it } from "vitest";
import type { SubnetId } from "../../common/ids.ts";
import { CLOUD_ERRORS } from "../errors.ts";
import { inSubnet, toCloudError } from "./errors.ts";

function thrown(name: string, message = "words") {
  return Object.assign(new Error(message), { name });
}

describe("toCloudError()", () => {
  it.each([
    // every code that the references and the emulators name, and some that only the SDK makes
    ["RequestLimitExceeded", "throttled", "retry-soon"],
    ["Throttling", "throttled", "retry-soon"],
    ["EC2ThrottledException", "throttled", "retry-soon"],
    ["InternalError", "unavailable", "retry-soon"],
    ["ServiceUnavailable", "unavailable", "retry-soon"],
    ["TimeoutError", "unavailable", "retry-soon"],
    ["AbortError", "unavailable", "retry-soon"],
    ["ECONNRESET", "unavailable", "retry-soon"],
    ["SomethingNewFromAws", "unavailable", "retry-soon"],
    ["IdempotentParameterMismatch", "conflict", "retry-soon"],
    ["InvalidNetworkInterface.InUse", "conflict", "retry-soon"],
    ["InvalidIPAddress.InUse", "conflict", "retry-soon"],
    ["IncorrectState", "conflict", "retry-soon"],
    ["InvalidKeyPair.Duplicate", "already-exists", "retry-soon"],
    ["InvalidNetworkInterfaceID.NotFound", "not-found", "retry-later"],
    ["InvalidAttachmentID.NotFound", "not-found", "retry-later"],
    ["InvalidInstanceID.NotFound", "not-found", "retry-later"],
    ["InvalidSubnetID.NotFound", "not-found", "retry-later"],
    ["InvalidGroup.NotFound", "not-found", "retry-later"],
    ["InsufficientFreeAddressesInSubnet", "subnet-exhausted", "other-subnet"],
    ["InsufficientCidrBlocks", "no-free-block", "other-subnet"],
    ["PrivateIpAddressLimitExceeded", "limit-reached", "full"],
    ["Ipv6AddressLimitExceeded", "limit-reached", "full"],
    ["AttachmentLimitExceeded", "limit-reached", "full"],
    ["NetworkInterfaceLimitExceeded", "limit-reached", "full"],
    ["TagLimitExceeded", "limit-reached", "full"],
    ["Client.UnauthorizedOperation", "unauthorized", "no-permission"],
    ["AuthFailure", "unauthorized", "no-permission"],
    ["ExpiredToken", "unauthorized", "no-permission"],
    ["SignatureDoesNotMatch", "unauthorized", "no-permission"],
    ["InvalidNetworkInterfaceId.Malformed", "invalid", "fatal"],
    ["InvalidInstanceType", "invalid", "fatal"],
    ["InvalidParameterValue", "invalid", "fatal"],
    ["InvalidParameterCombination", "invalid", "fatal"],
    ["MissingParameter", "invalid", "fatal"],
    ["UnsupportedOperation", "invalid", "fatal"],
  ] as const)("reads %s as %s: %s", (name, code, step) => {
    const { retry } = CLOUD_ERRORS[code];
    expect(toCloudError("DescribeSubnets", thrown(name))).toMatchObject({ code, step, retry });
  });

  it("tells two meanings of InvalidParameterValue by text, and only with that code", () => {
    const full = "There aren't sufficient free Ipv4 addresses or prefixes";
    const taken = "Instance 'i-1' already has an interface attached at device index '1'.";
    expect(toCloudError("X", thrown("InvalidParameterValue", full)).code).toBe("subnet-exhausted");
    expect(toCloudError("X", thrown("InvalidParameterValue", taken)).code).toBe("conflict");
    expect(toCloudError("X", thrown("InvalidParameterValue", "Value (x) is bad")).code).toBe("invalid");
    expect(toCloudError("X", thrown("InternalError", full)).code).toBe("unavailable");
  });

  it.each([
    ["InsufficientFreeAddressesInSubnet", "words"],
    ["InsufficientCidrBlocks", "words"],
    ["InvalidParameterValue", "There aren't sufficient free Ipv4 addresses or prefixes"],
  ])(
    "takes %s as no block when blocks were asked for, else as exhausted, and names the subnet",
    (name, text) => {
      const error = toCloudError("AssignPrivateIpAddresses", thrown(name, text));
      const subnetId = "subnet-1" as SubnetId;
      const subnetIds = [subnetId];
      expect(inSubnet(error, { subnetId, blocks: true })).toMatchObject({ code: "no-free-block", subnetIds });
      expect(inSubnet(error, { subnetId, blocks: false })).toMatchObject({
        code: "subnet-exhausted",
        subnetIds,
      });
    },
  );

  it("leaves an error that is about no subnet as it is", () => {
    const error = toCloudError("X", thrown("RequestLimitExceeded"));
    expect(inSubnet(error, { subnetId: "subnet-1" as SubnetId, blocks: true })).toBe(error);
  });

  it("names the action that a call of several actions lacks, as EC2 does", () => {
    const text = "User is not authorized to perform: ec2:CreateTags on resource: x";
    const error = toCloudError("CreateNetworkInterface", thrown("UnauthorizedOperation", text));
    expect(error.permission).toBe("ec2:CreateTags");
    expect(error.message).toContain("(IAM action ec2:CreateTags)");
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
