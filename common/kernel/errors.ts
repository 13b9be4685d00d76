import { CodedError } from "../errors.ts";

/**
 * The kernel refused a request. `code` is the errno name (`EEXIST`, `ENODEV`, `ESRCH`, `EPERM`, …), or
 * `netns-gone` and `not-a-netns` for namespace paths, or `nft-rejected` when the nft program refused a ruleset.
 */
export class KernelError extends CodedError {
  /** Message: what was asked, of which object, and the kernel's own words when it gave some (EXT_ACK). */
  constructor(code: string, message: string, options: { readonly cause?: unknown } = {}) {
    super(code, message, { ...options, retry: "soon" });
  }
}

/** Runs `work`; an error with one of the codes is taken for success (the thing was there, or gone, already). */
export function ignoring<T>(codes: readonly string[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError && codes.includes(error.code)) return undefined;
    throw error;
  }
}
