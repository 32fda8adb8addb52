// The section `offload.fetch_worker`: the worker that fetches what links of transfer providers lead to and
// puts it into the bucket. offload.ts takes it and checks it against the keys around it.
import { z } from "zod";
import type { FetchWorkerSettings } from "../../core/settings.ts";
import { flag, inSmallLetters, secretFile, section, visibleText, withChecks } from "./fields.ts";
import { httpUrl } from "./urls.ts";

/** The providers that the worker knows; links of other hosts it must never be given. */
const PROVIDER_HOSTS = ["dropbox.com", "fromsmash.com", "swisstransfer.com", "wetransfer.com"];

const HOSTS = `write hosts of ${PROVIDER_HOSTS.join(", ")}, or names below them`;

const isProviderHost = (text: string): boolean => {
  const host = text.toLowerCase();
  const isName = /^([a-z0-9-]+\.)+[a-z]+$/.test(host);
  return isName && PROVIDER_HOSTS.some((known) => host === known || host.endsWith(`.${known}`));
};

/** The section; null is off. */
export const fetchWorkerSchema = withChecks(
  section({
    enabled: flag(true, {
      description:
        "`false` is as if `fetch_worker` were null, which it is when left out: links stay what they are.",
      environment: ["R2_FETCH_ENABLED"],
    }),
    url: httpUrl.optional().meta({
      description:
        "Where the worker is asked: `https://…`, or `http://…` when `offload.allow_private_addresses` is true.",
      environment: ["R2_FETCH_ENDPOINT"],
      defaultText: "required",
    }),
    token: visibleText("token")
      .optional()
      .meta({
        description: "The token that the worker asks for, sent as `X-R2-FETCH-TOKEN`.",
        environment: ["R2_FETCH_TOKEN"],
        defaultText: "required, or `token_file`",
        secret: true,
      }),
    token_file: secretFile("token"),
    hosts: z
      .array(z.string({ error: HOSTS }).refine(isProviderHost, { error: HOSTS }), { error: HOSTS })
      .max(100, { error: "write at most 100 of them" })
      .default([])
      .meta({
        description: `The hosts, and hosts below them, whose links the worker is given; empty: ${PROVIDER_HOSTS.join(", ")}.`,
      }),
  }),
  [
    {
      fields: ["enabled", "url"],
      check: ({ enabled, url }, refuse) => {
        if (enabled && url === undefined) refuse("url", "write the address of the worker");
      },
    },
    {
      fields: ["enabled", "token", "token_file"],
      check: ({ enabled, token, token_file }, refuse) => {
        if (enabled && token === undefined && token_file === undefined)
          refuse("token", "write the token that the worker asks for, or token_file");
      },
    },
  ],
);

type FetchWorkerSection = z.output<typeof fetchWorkerSchema>;

/** The worker as it is written, unless it is switched off. */
export const runningWorker = (doc: FetchWorkerSection | null): FetchWorkerSection | null =>
  doc?.enabled === true ? doc : null;

/** The validated section, with what stands around it, as the program reads it. */
export const fetchWorkerSettings = (
  doc: FetchWorkerSection | null,
  around: Pick<FetchWorkerSettings, "bucket" | "allowPrivateAddresses">,
): FetchWorkerSettings | null => {
  const worker = runningWorker(doc);
  if (worker === null) return null;
  return {
    ...around,
    url: worker.url ?? "",
    token: worker.token ?? "",
    hosts: worker.hosts.length === 0 ? PROVIDER_HOSTS : inSmallLetters(worker.hosts),
  };
};
