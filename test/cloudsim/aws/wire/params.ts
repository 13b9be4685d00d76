import { Ec2Error, invalidValue, missingParameter } from "../model/ec2-error.ts";

/**
 * The parameters of one Query request (`Filter.1.Value.2=x`), read by name. It remembers what was read, so that a parameter that no
 * action knows is refused instead of ignored.
 */
export class Params {
  private readonly values: ReadonlyMap<string, string>;
  private readonly prefix: string;
  private readonly read: Set<string>;

  constructor(values: ReadonlyMap<string, string>, prefix = "", read = new Set<string>()) {
    this.values = values;
    this.prefix = prefix;
    this.read = read;
  }

  text(name: string): string | undefined {
    const key = this.prefix + name;
    this.read.add(key);
    return this.values.get(key);
  }

  /** Throws MissingParameter. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined || value === "") throw missingParameter(this.prefix + name);
    return value;
  }

  /** Throws InvalidParameterValue for anything but digits. */
  integer(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (!/^\d{1,9}$/.test(value)) {
      throw invalidValue(
        `Value (${value}) for parameter ${this.prefix}${name} is invalid. It must be an integer.`,
      );
    }
    return Number(value);
  }

  boolean(name: string): boolean | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (value !== "true" && value !== "false") {
      throw invalidValue(
        `Value (${value}) for parameter ${this.prefix}${name} is invalid. Boolean expected.`,
      );
    }
    return value === "true";
  }

  /** `name.1`, `name.2`, … in order of their numbers. */
  list(name: string): string[] {
    return this.indexes(name).flatMap((index) => this.text(`${name}.${index}`) ?? []);
  }

  /** One reader for each `name.N.…`. */
  records(name: string): Params[] {
    return this.indexes(name).map(
      (index) => new Params(this.values, `${this.prefix}${name}.${index}.`, this.read),
    );
  }

  private indexes(name: string): number[] {
    const start = `${this.prefix}${name}.`;
    const found = new Set<number>();
    for (const key of this.values.keys()) {
      const index = key.startsWith(start) ? key.slice(start.length).split(".")[0] : undefined;
      if (index !== undefined && /^\d+$/.test(index)) found.add(Number(index));
    }
    return [...found].sort((a, b) => a - b);
  }

  /** Throws UnknownParameter when something was sent that nobody read. */
  checkAllRead(): void {
    for (const key of this.values.keys()) {
      if (!this.read.has(key))
        throw new Ec2Error("UnknownParameter", `The parameter ${key} is not recognized`);
    }
  }
}
