/** What the main thread and the slow worker say to each other. Addresses travel as text: classes do not survive the crossing. */
export type SlowJob =
  | { readonly kind: "remove-link-group"; readonly group: number; readonly namePrefix: string }
  | { readonly kind: "forget-connections"; readonly addresses: readonly string[] };

export type SlowStart = { readonly netnsPath?: string };

/** Sent once, before any job: the ports whose changes are ours. */
export type SlowReady = {
  readonly kind: "ready";
  readonly routePort: number;
  readonly netfilterPort: number;
};

export type SlowAnswer =
  | SlowReady
  | { readonly kind: "done"; readonly id: number; readonly removed: number }
  | { readonly kind: "failed"; readonly id: number; readonly code: string; readonly message: string };

export type SlowRequest = { readonly id: number; readonly job: SlowJob };
