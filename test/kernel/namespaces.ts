/** Named network namespaces for tests, made and entered by iproute2, as runtimes and administrators do. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";

/** Runs a program to its end and gives what it printed; throws with its words. */
export function run(command: string): string {
  const [file = "", ...args] = command.split(" ");
  return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

export type TestNetns = Disposable & {
  readonly name: string;
  readonly path: string;
  /** Runs a program inside. */
  exec(command: string): string;
  /** What `ip -j` prints there. */
  ip(arguments_: string): unknown[];
  destroy(): void;
};

/** A new namespace with lo up. Disposing of it twice is fine. */
export function createNetns(): TestNetns {
  const name = `t-${randomUUID().slice(0, 8)}`;
  run(`ip netns add ${name}`);
  run(`ip -n ${name} link set lo up`);
  let isThere = true;
  const destroy = () => {
    if (isThere) run(`ip netns delete ${name}`);
    isThere = false;
  };
  return {
    name,
    path: `/run/netns/${name}`,
    exec: (command) => run(`ip netns exec ${name} ${command}`),
    ip: (arguments_) => JSON.parse(run(`ip -n ${name} -details -j ${arguments_}`) || "[]"),
    destroy,
    [Symbol.dispose]: destroy,
  };
}
