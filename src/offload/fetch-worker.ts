// Having links of transfer providers fetched: the worker is asked, the file never passes through here. The
// request is the one of the Python service. The orchestrator calls it for each link of a message.
import type { Clock } from "../core/clock.ts";
import { DeadlineError } from "../core/errors.ts";
import { capText } from "../core/limits.ts";
import type { ProviderLink } from "../core/message.ts";
import type { FetchWorkerSettings } from "../core/settings.ts";
import type { HttpResult, SendHttp } from "../net/send-http.ts";
import { withDeadline } from "../resilience/deadline.ts";
import { createGate } from "../resilience/gate.ts";
import type { Availability } from "./availability.ts";
import { linkKey, sourceUrlOf } from "./link-source.ts";
import type { StorageFailure } from "./object-store.ts";
import { OutOfTimeError } from "./upload.ts";

/** The worker fetches while we wait. */
const TIMEOUT_MS = 15_000;

/** It packs a whole folder of Dropbox first. */
const FOLDER_TIMEOUT_MS = 120_000;

/** Calls of the whole process at a time. */
const MAX_CALLS = 4;

const MAX_ANSWER_BYTES = 64 * 1024;

/** A file system takes no longer names either. */
const MAX_NAME_CHARS = 255;

/**
 * Why a link was not fetched: as the worker failed; `not_fetched` when it said that it could not;
 * `unavailable` when it was not even asked, because it is down; `late` when the message's time was up.
 */
export type FetchFailure =
  | Exclude<StorageFailure, "missing_bucket">
  | "not_fetched"
  | "unavailable"
  | "late";

/** One link that is to be fetched. */
export interface LinkFetch {
  eventId: string;
  provider: ProviderLink["provider"];
  source: URL;
  /** Asked right before the call, after any wait in line: rejects when it must not start. */
  assertLease(): Promise<void>;
  /** Ends it, also in line: for an `OutOfTimeError` it is `late`, for any other reason it rejects. */
  signal: AbortSignal;
}

/** What came of it; `isNews`: of this failure nothing else has told. */
export type FetchResult =
  | { kind: "fetched"; url: string; filename: string | null }
  | { kind: "failed"; failure: FetchFailure; isNews: boolean };

/** The fetch worker of a daemon. */
export interface FetchWorker {
  /** Would it be asked now? */
  isUsable(): boolean;
  /** What the worker is to fetch for this link; null: it is not one of its hosts'. */
  sourceOf(link: ProviderLink): URL | null;
  /** Rejects as `assertLease` does and with the reason of its signal; every failure is a result. */
  fetch(request: LinkFetch): Promise<FetchResult>;
}

/** What the worker is asked with. */
export interface FetchWorkerDeps {
  clock: Clock;
  sendHttp: SendHttp;
  availability: Availability;
  settings: FetchWorkerSettings;
  /** Before every key, without a slash at either end; "": none. */
  prefix: string;
  /** What its answers must lie under, without a slash at the end. */
  publicBaseUrl: string;
}

/** `https:`, and a host of the list or one below it; judged on the URL as it will be fetched. */
const isAllowed = (source: URL, hosts: readonly string[]): boolean => {
  const host = source.hostname.toLowerCase().replace(/\.$/, "");
  const isListed = hosts.some((known) => host === known || host.endsWith(`.${known}`));
  return source.protocol === "https:" && source.username === "" && isListed;
};

/** The URL when it lies under `base`, at a border between two segments; else null. */
const urlUnder = (base: string, text: unknown): string | null => {
  const [url, root] = [typeof text === "string" ? URL.parse(text) : null, URL.parse(base)];
  if (url === null || root === null || url.origin !== root.origin) return null;
  if (url.username !== "" || url.password !== "") return null;
  const folder = `${root.pathname.replace(/\/$/, "")}/`;
  return url.pathname.startsWith(folder) && url.pathname !== folder ? url.href : null;
};

const nameOf = (text: unknown): string | null => {
  if (typeof text !== "string") return null;
  const name = capText(text.replaceAll(/\p{Cc}+/gu, " ").trim(), MAX_NAME_CHARS);
  return name === "" ? null : name;
};

/** The object that an answer is; null: it is none. */
const answerOf = (body: string | undefined): Record<string, unknown> | null => {
  try {
    const answer: unknown = JSON.parse(body ?? "");
    const isObject = typeof answer === "object" && answer !== null && !Array.isArray(answer);
    return isObject ? (answer as Record<string, unknown>) : null;
  } catch {
    return null;
  }
};

/** What an answer says: the file, or why there is none; null: our own signal ended the call. */
const resultOf = (
  result: HttpResult,
  baseUrl: string,
): { url: string; filename: string | null } | FetchFailure | null => {
  if (result.kind === "aborted") return null;
  if (result.kind === "failed") return result.errorClass;
  const { status, body } = result;
  if (status === 401 || status === 403) return "denied";
  const answer = answerOf(body);
  // Its own word for a link that leads nowhere, whatever the status it comes with.
  if (answer?.["success"] === false) return "not_fetched";
  if (status === 429 || status >= 500) return "server_error";
  if (status !== 200) return "request_refused";
  const url = urlUnder(baseUrl, answer?.["r2_url"]);
  if (answer?.["success"] !== true || url === null) return "invalid_answer";
  return { url, filename: nameOf(answer["original_filename"]) };
};

/** One call within its deadline. */
const call = async (
  { clock, sendHttp, settings, prefix, publicBaseUrl }: FetchWorkerDeps,
  { eventId, provider, source, signal }: LinkFetch,
): Promise<ReturnType<typeof resultOf>> => {
  const isFolder = provider === "dropbox" && source.pathname.toLowerCase().startsWith("/scl/fo/");
  const request = {
    source_url: source.href,
    object_key: [prefix, linkKey(provider, source)].filter(Boolean).join("/"),
    bucket: settings.bucket,
    provider,
    email_id: eventId,
  };
  const ms = isFolder ? FOLDER_TIMEOUT_MS : TIMEOUT_MS;
  try {
    const answer = await withDeadline(
      clock,
      { ms, what: "a call of the worker", signal },
      (inner) =>
        sendHttp({
          url: settings.url,
          headers: {
            "content-type": "application/json",
            "user-agent": "signalpost",
            "x-r2-fetch-token": settings.token,
          },
          body: JSON.stringify(request),
          allowPrivateAddresses: settings.allowPrivateAddresses,
          connections: MAX_CALLS,
          maxBodyBytes: MAX_ANSWER_BYTES,
          signal: inner,
        }),
    );
    return resultOf(answer, publicBaseUrl);
  } catch (error) {
    if (signal.aborted) return null;
    if (error instanceof DeadlineError) return "timeout";
    throw error;
  }
};

/** The worker of a daemon. */
export const createFetchWorker = (deps: FetchWorkerDeps): FetchWorker => {
  const { availability, settings } = deps;
  const room = createGate(MAX_CALLS);
  const hosts = settings.hosts.map((host) => host.toLowerCase());
  const failed = (failure: FetchFailure, isNews: boolean): FetchResult => ({
    kind: "failed",
    failure,
    isNews,
  });
  const isLate = (signal: AbortSignal): boolean => signal.reason instanceof OutOfTimeError;

  const run = async (request: LinkFetch, one: { probe: boolean }): Promise<FetchResult> => {
    await request.assertLease();
    if (!isAllowed(request.source, hosts)) return failed("request_refused", true);
    const result = await call(deps, request);
    if (result === null) {
      if (isLate(request.signal)) return failed("late", true);
      throw request.signal.reason;
    }
    if (typeof result !== "string") {
      availability.succeeded();
      return { kind: "fetched", ...result };
    }
    // A worker that says no works.
    if (result === "not_fetched") availability.succeeded();
    const isNews = result === "not_fetched" || availability.failed(one, result);
    return failed(result, isNews);
  };

  return {
    isUsable: availability.isUsable,
    sourceOf: (link) => {
      const source = sourceUrlOf(link);
      return source !== null && isAllowed(source, hosts) ? source : null;
    },
    fetch: async (request) => {
      const { signal } = request;
      const one = availability.admit();
      if (one === null) return failed("unavailable", false);
      const opening = one.probe ? [] : [availability.opening()];
      let release: (() => void) | null = null;
      try {
        release = await room.acquire(1, AbortSignal.any([signal, ...opening]));
        return await run(request, one);
      } catch (error) {
        if (release !== null) throw error;
        if (!signal.aborted) return failed("unavailable", false);
        if (isLate(signal)) return failed("late", true);
        throw error;
      } finally {
        availability.abandoned(one);
        release?.();
      }
    },
  };
};
