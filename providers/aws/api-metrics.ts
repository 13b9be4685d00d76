import type { Counter, Histogram, Metrics } from "../../common/metrics.ts";

/** What is counted of the EC2 API, by action; names in docs/operations.md. */
export class ApiMetrics {
  private readonly calls: Counter;
  private readonly duration: Histogram;
  private readonly wait: Histogram;
  private readonly throttled: Counter;
  private readonly repeated: Counter;

  constructor(metrics: Metrics) {
    this.calls = metrics.counter(
      "causeway_aws_api_calls_total",
      "Calls of the EC2 API, by action and EC2's error code.",
    );
    this.duration = metrics.histogram(
      "causeway_aws_api_duration_seconds",
      "Time of calls of the EC2 API with the SDK's repetitions, by action and outcome.",
    );
    this.wait = metrics.histogram(
      "causeway_aws_api_wait_seconds",
      "Time that calls waited for their turn among this node's calls, by action.",
    );
    this.throttled = metrics.counter(
      "causeway_aws_api_throttled_total",
      "Calls that EC2 refused for its rate limits, after the SDK's repetitions.",
    );
    this.repeated = metrics.counter(
      "causeway_aws_api_repeats_total",
      "Repetitions by the SDK, of throttled and failed calls that may be repeated.",
    );
  }

  waited(operation: string, ms: number): void {
    this.wait.observe(ms / 1000, { operation });
  }

  /** `code` is `ok` or EC2's error code. `attempts` counts every sending; undefined when the SDK did not say. */
  ended(operation: string, code: string, ms: number, attempts = 1, isThrottled = false): void {
    this.calls.add({ operation, code });
    this.duration.observe(ms / 1000, { operation, outcome: code === "ok" ? "ok" : "error" });
    if (isThrottled) this.throttled.add({ operation });
    if (attempts > 1) this.repeated.add({ operation }, attempts - 1);
  }
}
