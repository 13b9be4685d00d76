/** Who is called back, in the order of subscription. */
export class Listeners<Args extends readonly unknown[] = []> {
  private readonly all = new Set<{ readonly call: (...args: Args) => void }>();

  /** Until what it gives is disposed of, which may be repeated. The same function may be added several times. */
  add(listener: (...args: Args) => void): Disposable {
    const entry = { call: listener };
    this.all.add(entry);
    return { [Symbol.dispose]: () => void this.all.delete(entry) };
  }

  /** Those that are there now; one that comes meanwhile is not called. */
  tell(...args: Args): void {
    for (const { call } of [...this.all]) call(...args);
  }
}
