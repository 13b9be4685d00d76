/** What the API server says of this node. */
export interface NodeSource {
  labels(): ReadonlyMap<string, string>;
  /** How many pods kubelet accepts (`status.capacity.pods`); undefined while nobody has told. */
  maxPods(): number | undefined;
  subscribe(listener: () => void): Disposable;
}
