/** What the caller of a failed operation may do next. */
export type RetryAdvice = "now" | "soon" | "later" | "elsewhere" | "never";

/**
 * An operating error: something outside the program went wrong. Callers match on `code`, never on the text. The
 * message says what was being done, to which thing, with the value that was wrong.
 */
export class CodedError extends Error {
  /** Stable, kebab-case, for example `subnet-exhausted`. */
  readonly code: string;
  readonly retry: RetryAdvice;

  constructor(
    code: string,
    message: string,
    options: { readonly retry?: RetryAdvice; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retry = options.retry ?? "never";
  }
}

/** True when the error, or any of its causes, carries the code. */
export function hasCode(error: unknown, code: string): boolean {
  for (
    let current = error, depth = 0;
    current instanceof Error && depth < 16;
    current = current.cause, depth += 1
  ) {
    if ((current as { code?: unknown }).code === code) return true;
  }
  return false;
}

/** The message of an error and its causes, outermost first, joined by `: `; for logs and CNI details. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let current: unknown = error, depth = 0; current !== undefined && depth < 16; depth += 1) {
    const message = current instanceof Error ? current.message : String(current);
    if (message !== "" && !parts.some((part) => part.includes(message))) parts.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}
