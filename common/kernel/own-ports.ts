/**
 * Netlink ports through which this process changes the kernel, so that its own changes can be told from others' in events, which name
 * the sender's port. Ports are counted per protocol.
 */
export class OwnPorts {
  private readonly ports = new Map<number, Set<number>>();
  private readonly watchers = new Set<PortsWatcher>();

  add(protocol: number, port: number): void {
    this.ports.set(protocol, this.portsOf(protocol).add(port));
    for (const { changed } of this.watchers) changed();
  }

  /** Forgets a port that others may get now, after all its events have been read. */
  remove(protocol: number, port: number): void {
    for (const { removing } of this.watchers) removing();
    this.portsOf(protocol).delete(port);
    for (const { changed } of this.watchers) changed();
  }

  has(protocol: number, port: number): boolean {
    return this.portsOf(protocol).has(port);
  }

  /** All of a protocol. */
  list(protocol: number): readonly number[] {
    return [...this.portsOf(protocol)];
  }

  /** Calls back until disposed. */
  watch(watcher: PortsWatcher): Disposable {
    this.watchers.add(watcher);
    return { [Symbol.dispose]: () => this.watchers.delete(watcher) };
  }

  private portsOf(protocol: number): Set<number> {
    return this.ports.get(protocol) ?? new Set();
  }
}

export type PortsWatcher = {
  /** Before a port is forgotten. */
  readonly removing: () => void;
  /** After one came or was forgotten. */
  readonly changed: () => void;
};
