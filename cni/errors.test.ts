import { describe, expect, it } from "vitest";
import { CodedError } from "../common/errors.ts";
import { KernelError } from "../common/kernel/errors.ts";
import { CniError, cniNumber, printError } from "./errors.ts";

describe("cniNumber()", () => {
  it.each([
    ["an error that says its number", new CniError("invalidConfig", "x"), 7],
    ["an empty pool", new CodedError("pool-empty", "x"), 11],
    ["a namespace that is gone", new KernelError("netns-gone", "x"), 4],
    ["a file that is no namespace", new KernelError("not-a-netns", "x"), 4],
    ["a kernel that refused, for now", new KernelError("ENOBUFS", "x"), 11],
    ["a ruleset that nft refused", new KernelError("nft-rejected", "x"), 100],
    ["a coded cause", new Error("outer", { cause: new CodedError("pool-empty", "x") }), 11],
    ["a coded error that may be tried again", new CodedError("something", "x", { retry: "later" }), 11],
    ["a coded error that nobody mapped", new CodedError("something", "x"), 999],
    ["a bug", new TypeError("x is undefined"), 999],
    ["a thrown string", "oops", 999],
  ])("of %s is %3$d", (_what, error, number) => {
    expect(cniNumber(error)).toBe(number);
  });
});

describe("printError()", () => {
  it("has version, number, message and the causes as details", () => {
    const cause = new Error("socket closed");
    const error = new CodedError("pool-empty", "no address in subnet-1", { cause });
    expect(printError(error, "0.4.0")).toEqual({
      cniVersion: "0.4.0",
      code: 11,
      msg: "no address in subnet-1",
      details: "socket closed",
    });
  });

  it("has all four keys for an error without causes", () => {
    expect(printError(new CniError("ioFailure", "m"))).toEqual({
      cniVersion: "1.1.0",
      code: 5,
      msg: "m",
      details: "",
    });
  });
});
