/** How a metadata service can misbehave; every kind was met in the field (field case aws-90). */
export type ImdsFault =
  /** Answers with this status and body instead: 404 of one key, 429, or a page of HTML with status 200. */
  | { readonly kind: "answer"; readonly status: number; readonly body: string }
  /** The value with something after it, such as a newline. */
  | { readonly kind: "append"; readonly text: string }
  /** No answer, as when the hop limit eats it. */
  | { readonly kind: "hang" };

type Rule = { readonly path: RegExp; readonly fault: ImdsFault; left: number };

const HTML = "<html><head><title>Sign in</title></head><body>Sign in</body></html>";

export class ImdsFaults {
  private rules: Rule[] = [];
  /** Changes of the instance's interfaces show in the metadata this much later. */
  lagMs = 0;

  /** The next `times` requests whose path below `latest/` matches get this fault; the token's path is `api/token`. */
  add(path: RegExp, fault: ImdsFault, times = 1): void {
    this.rules.push({ path, fault, left: times });
  }

  /** 404 for keys that should be there; for good unless `times` is given. */
  hide(path: RegExp, times = Number.POSITIVE_INFINITY): void {
    this.add(path, { kind: "answer", status: 404, body: "Not Found" }, times);
  }

  /** Status 200 and a page of HTML. */
  html(path: RegExp, times = 1): void {
    this.add(path, { kind: "answer", status: 200, body: HTML }, times);
  }

  throttle(path: RegExp, times = 1): void {
    this.add(path, { kind: "answer", status: 429, body: "Too Many Requests" }, times);
  }

  hang(path: RegExp, times = 1): void {
    this.add(path, { kind: "hang" }, times);
  }

  append(path: RegExp, text: string, times = Number.POSITIVE_INFINITY): void {
    this.add(path, { kind: "append", text }, times);
  }

  take(path: string): ImdsFault | undefined {
    const rule = this.rules.find((candidate) => candidate.path.test(path));
    if (rule === undefined) return undefined;
    rule.left -= 1;
    this.rules = this.rules.filter(({ left }) => left > 0);
    return rule.fault;
  }

  clear(): void {
    this.rules = [];
    this.lagMs = 0;
  }
}
