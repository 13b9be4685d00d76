import { expect, test } from "vitest";
import { FORWARD_ACCEPTS, planForward } from "./forward-accepts.ts";

const KUBE = "-m comment --comment rules -j KUBE-FORWARD";
const DOCKER = "-j DOCKER-USER";

test.each([
  { name: "an empty chain", rules: [], position: 0 },
  { name: "docker's rules", rules: [DOCKER], position: 0 },
  { name: "kube-proxy's jumps and docker's rules", rules: [KUBE, KUBE, DOCKER], position: 2 },
  {
    name: "accepts that another program pushed down",
    rules: [DOCKER, ...FORWARD_ACCEPTS],
    position: 0,
    removed: 3,
  },
  { name: "accepts that are half gone", rules: FORWARD_ACCEPTS.slice(1), position: 0, removed: 2 },
])(
  "planForward() puts the accepts into $name after kube-proxy's jumps only",
  ({ rules, position, removed = 0 }) => {
    const change = planForward(rules);
    expect(change).toMatchObject({ position, insert: FORWARD_ACCEPTS });
    expect(change?.remove).toHaveLength(removed);
  },
);

test.each([
  { name: "at the head", rules: [...FORWARD_ACCEPTS, DOCKER] },
  { name: "after kube-proxy's jumps", rules: [KUBE, ...FORWARD_ACCEPTS, DOCKER] },
])("planForward() leaves accepts $name alone", ({ rules }) => {
  expect(planForward(rules)).toBeUndefined();
});
