import { describe, expect, it } from "vitest";
import { matchesSelector, parseSelector } from "./selector.ts";

const labels = new Map([
  ["pool", "gpu"],
  ["topology.kubernetes.io/zone", "eu-west-1a"],
  ["empty", ""],
]);

describe("matchesSelector()", () => {
  it.each([
    ["pool=gpu", true],
    ["pool==gpu", true],
    [" pool = gpu , empty ", true],
    ["pool=cpu", false],
    ["pool!=cpu", true],
    ["pool!=gpu", false],
    ["missing!=gpu", true],
    ["pool", true],
    ["missing", false],
    ["!missing", true],
    ["! pool", false],
    ["empty=", true],
    ["missing=", false],
    ["pool in (cpu, gpu)", true],
    ["pool in(gpu)", true],
    ["pool in (cpu)", false],
    ["missing in (cpu)", false],
    ["pool notin (cpu,arm)", true],
    ["pool notin (gpu)", false],
    ["missing notin (gpu)", true],
    ["topology.kubernetes.io/zone in (eu-west-1a,eu-west-1b),pool=gpu,!missing", true],
    ["topology.kubernetes.io/zone in (eu-west-1a,eu-west-1b),pool=cpu", false],
  ])("of %j is %s", (text, matches) => {
    expect(matchesSelector(parseSelector(text), labels)).toBe(matches);
  });
});

describe("parseSelector()", () => {
  it.each([
    ["", "the selector is empty"],
    ["pool=gpu,", 'not a requirement of labels: ""'],
    ["pool=gpu=2", 'not a label\'s value: "gpu=2"'],
    ["pool>1", 'not a requirement of labels: "pool>1"'],
    ["pool in gpu", 'not a requirement of labels: "pool in gpu"'],
    ["pool in (a,b", 'not a requirement of labels: "pool in (a'],
    ["pool in (a b)", 'not a label\'s value: "a b"'],
    ["pool=-gpu", 'not a label\'s value: "-gpu"'],
    ["-pool", 'not a requirement of labels: "-pool"'],
    ["a/b/c", 'not a requirement of labels: "a/b/c"'],
    ["=gpu", 'not a requirement of labels: "=gpu"'],
    [`pool=${"x".repeat(64)}`, "not a label's value"],
  ])("refuses %j and names the part", (text, words) => {
    expect(() => parseSelector(text)).toThrow(words);
  });
});
