/**
 * Netlink ports through which this process changes the kernel, so that its own changes can be told from others' in events, which name
 * the sender's port. Ports are counted per protocol.
 */
export class OwnPorts {
  private readonly ports = new Set<string>();
  private readonly listeners = new Set<() => void>();

  add(protocol: number, port: number): void {
    this.ports.add(`${protocol}/${port}`);
  }

  /** Forgets a port that others may get now, after all its events have been read. */
  remove(protocol: number, port: number): void {
    for (const listener of this.listeners) listener();
    this.ports.delete(`${protocol}/${port}`);
  }

  has(protocol: number, port: number): boolean {
    return this.ports.has(`${protocol}/${port}`);
  }

  /** Calls back before a port is forgotten. */
  onRemove(listener: () => void): Disposable {
    this.listeners.add(listener);
    return { [Symbol.dispose]: () => this.listeners.delete(listener) };
  }
}
