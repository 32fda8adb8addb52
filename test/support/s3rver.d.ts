// The part of s3rver that the tests use, as types; the package has none of its own. Read off the package's
// source and used by s3-server.ts alone.

declare module "s3rver" {
  import type { AddressInfo } from "node:net";

  namespace S3rver {
    interface Options {
      address: string;
      /** 0: any free one. */
      port: number;
      silent: boolean;
      /** Where buckets are kept, one folder each. */
      directory: string;
      /** Does a host name that is no address name a bucket? */
      vhostBuckets: boolean;
      configureBuckets: readonly { name: string }[];
    }
  }

  class S3rver {
    constructor(options: S3rver.Options);
    run(): Promise<AddressInfo>;
    close(): Promise<void>;
  }
  export = S3rver;
}
