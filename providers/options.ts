import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import type { Metrics } from "../common/metrics.ts";

/** Where a cloud client takes its credentials from. */
export type CloudCredentials =
  /** The role of this instance, from the metadata service. */
  | { readonly from: "instance" }
  /** The SDK's own search: environment, web identity, container, shared files, instance. Loads more code. */
  | { readonly from: "default-chain" }
  /** Given outright: tests and the demo. */
  | {
      readonly from: "keys";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string;
    };

/** What every cloud is built from. Plain data and the three things that are passed everywhere. */
export type CloudOptions = {
  /** Names this cluster in ownership tags: what another cluster's tag marks is foreign. */
  readonly cluster: string;
  /** Default: this instance's own region, from the metadata service. */
  readonly region?: string;
  /** URL of the cloud's API. Default: the cloud's own for the region. */
  readonly endpoint?: string;
  /** URL of the metadata service. Default: the cloud's own link-local address. */
  readonly metadataEndpoint?: string;
  /** Default: the instance's role. */
  readonly credentials?: CloudCredentials;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
};
