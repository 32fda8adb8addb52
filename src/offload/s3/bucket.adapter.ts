// A bucket over the SDK of AWS, which is told everything that it would otherwise look up by itself: nothing
// in the environment, in ~/.aws or on the network changes what it does. s3.adapter.ts loads this file, and
// with it the SDK, at the first use.
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { StorageSettings } from "../../core/settings.ts";
import type { ObjectStore } from "../object-store.ts";
import { createRequestHandler } from "./requests.adapter.ts";
import { uploadObject } from "./upload.adapter.ts";

const MAX_ATTEMPTS = 3;
/** A week, the most that signatures of version 4 allow. */
const MAX_PRESIGN_SECONDS = 604_800;

/** What the SDK reads from variables and files unless it is told. */
const PINNED = {
  ignoreConfiguredEndpointUrls: true,
  defaultsMode: "standard",
  retryMode: "standard",
  maxAttempts: MAX_ATTEMPTS,
  // Checksums in trailers, which the SDK sends by itself, are not taken by R2 and others.
  requestChecksumCalculation: "WHEN_REQUIRED",
  responseChecksumValidation: "WHEN_REQUIRED",
  authSchemePreference: [],
  sigv4aSigningRegionSet: async () => undefined,
  disableClockSkewCorrection: false,
  disableMultiregionAccessPoints: false,
  disableS3ExpressSessionAuth: false,
  useArnRegion: false,
  useDualstackEndpoint: false,
  useFipsEndpoint: false,
  defaultUserAgentProvider: async () => [["signalpost"]],
  userAgentAppId: async () => undefined,
  expectContinueHeader: false,
  followRegionRedirects: false,
} satisfies ConstructorParameters<typeof S3Client>[0];

const createClient = (
  { endpoint, region, accessKeyId, secretAccessKey, pathStyle }: StorageSettings,
  requestHandler: ReturnType<typeof createRequestHandler>,
): S3Client => {
  const client = new S3Client({
    ...PINNED,
    ...(endpoint !== null && { endpoint }),
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: pathStyle,
    requestHandler,
  });
  // Sends on what Lambda and tracers leave in the environment.
  client.middlewareStack.remove("recursionDetectionMiddleware");
  return client;
};

/** As `OpenObjectStore`. */
export const openBucket = (settings: StorageSettings): ObjectStore => {
  const { bucket } = settings;
  const requestHandler = createRequestHandler(settings.allowPrivateAddresses);
  const client = createClient(settings, requestHandler);
  return {
    put: (object, sent) => uploadObject({ client, bucket }, object, sent),
    signGet: (key, { seconds, nowMs }) =>
      getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key }), {
        expiresIn: Math.min(seconds, MAX_PRESIGN_SECONDS),
        signingDate: new Date(nowMs),
      }),
    close: () => client.destroy(),
  };
};
