import type { PoolState } from "./addresses-condition.ts";
import type { LeaseBook } from "./lease-book.ts";
import { fullSubnet } from "./pool-limit.ts";
import type { Reconciler } from "./reconcile.ts";

/** Whether pods lack addresses now, and why. Undefined before the cloud's first answer, unless it has refused or failed. */
export function poolState(
  book: Pick<LeaseBook, "waiting">,
  reconciler: Pick<Reconciler, "report" | "obstruction">,
): PoolState | undefined {
  const { plan, obstacles } = reconciler.report();
  const limit = reconciler.obstruction();
  if (plan === undefined && limit === undefined) return undefined;
  const { pending = 0, free = 0, coming = 0 } = plan?.count ?? {};
  const isShort = book.waiting().length > 0 || pending > free + coming;
  return { isShort, limit, fullSubnet: fullSubnet(obstacles) };
}
