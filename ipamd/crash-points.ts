import type { FaultPoints } from "../common/fault-points.ts";

/** For tests: kills the process, as a power cut would, when `point` is reached for the `hit`th time. */
export function crashingPoints(at: { readonly point: string; readonly hit: number }): FaultPoints {
  let hits = 0;
  return {
    reach: (point) => {
      if (point !== at.point) return;
      hits += 1;
      if (hits === at.hit) process.kill(process.pid, "SIGKILL");
    },
  };
}
