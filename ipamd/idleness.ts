/** Since when things have been there and of no use. No I/O; times are milliseconds of one clock. */
export class Idleness {
  private readonly since = new Map<string, number>();

  /** How long each of these has been unused, told of what is in use now; forgets what is not named. */
  observe(
    things: readonly { readonly name: string; readonly isUsed: boolean }[],
    now: number,
  ): Map<string, number> {
    const idle = new Map<string, number>();
    for (const { name, isUsed } of things) {
      const since = isUsed ? now : (this.since.get(name) ?? now);
      this.since.set(name, since);
      idle.set(name, now - since);
    }
    for (const name of this.since.keys()) if (!idle.has(name)) this.since.delete(name);
    return idle;
  }
}
