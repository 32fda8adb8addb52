// The section `offload` from the environment: the variables of the schema, and those of the Python service,
// which mean what they meant there and leave no half section behind.
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import type { OffloadSettings } from "../../core/settings.ts";
import { loadSettings } from "../load.ts";

const CANARY = "canary-7c1f";

const R2 = {
  endpoint: "https://acc.r2.cloudflarestorage.com",
  bucket: "my-mail",
  access_key_id: "id",
  secret_access_key: "word",
};
const FETCH = { url: "https://fetch.example.com/in", token: "word" };
const LINKS = {
  bucket: "my-mail",
  public_base_url: "https://files.example.com",
  fetch_worker: FETCH,
};

const GOOD = `mailboxes:
  - { id: default, imap: { host: imap.example.com, user: me, password: word } }
webhook:
  url: https://hooks.example.com/in
  secret: whsec_${Buffer.alloc(32, 7).toString("base64")}
`;

const textOf = (offload: unknown): string => GOOD + stringify({ offload });

type Variables = Readonly<Record<string, string>>;

const settingsOf = (env: Variables, text = GOOD): OffloadSettings | null =>
  loadSettings({ path: "c", env, readConfigFile: () => ({ stamp: "", text }) }).settings.offload;

const problemsOf = (env: Variables): readonly ConfigProblem[] => {
  try {
    settingsOf(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe("variables of offload", () => {
  const SERVICE = {
    R2_FETCH_ENABLED: "true",
    R2_FETCH_ENDPOINT: FETCH.url,
    R2_FETCH_TOKEN: FETCH.token,
    R2_BUCKET_NAME: "my-mail",
    R2_PUBLIC_BASE_URL: "https://files.example.com/",
  };
  const without = (...names: string[]): Record<string, string> =>
    Object.fromEntries(Object.entries(SERVICE).filter(([name]) => !names.includes(name)));

  test("make the whole section without a file", () => {
    const env = {
      SIGNALPOST_OFFLOAD_ENDPOINT: R2.endpoint,
      SIGNALPOST_OFFLOAD_BUCKET: "my-mail",
      SIGNALPOST_OFFLOAD_ACCESS_KEY_ID: "id",
      SIGNALPOST_OFFLOAD_SECRET_ACCESS_KEY: "word",
      SIGNALPOST_OFFLOAD_CONTENT_TYPES: "image/*, application/pdf",
      SIGNALPOST_OFFLOAD_PUBLIC_BASE_URL: "https://files.example.com",
      SIGNALPOST_OFFLOAD_FETCH_WORKER_URL: FETCH.url,
      SIGNALPOST_OFFLOAD_FETCH_WORKER_TOKEN: "word",
      SIGNALPOST_OFFLOAD_FETCH_WORKER_HOSTS: "dropbox.com",
    };
    for (const text of [GOOD, `${GOOD}offload: null\n`])
      expect(settingsOf(env, text)).toMatchObject({
        storage: { endpoint: R2.endpoint, bucket: "my-mail" },
        worker: { url: FETCH.url, hosts: ["dropbox.com"] },
        contentTypes: ["image/*", "application/pdf"],
      });
  });

  test("of ours that make half a section are an error that names them", () => {
    const env = { SIGNALPOST_OFFLOAD_BUCKET: "AB", SIGNALPOST_OFFLOAD_FETCH_WORKER_URL: FETCH.url };
    expect(problemsOf(env).map(({ key, line }) => [key, line])).toEqual([
      ["offload.bucket", null],
      ["offload.fetch_worker.token", null],
      ["offload.public_base_url", null],
    ]);
    expect(problemsOf(env)[0]?.message).toMatch(/^SIGNALPOST_OFFLOAD_BUCKET: write /);
  });

  test("of the Python service alone make the worker that it had", () => {
    expect(settingsOf(SERVICE)).toMatchObject({
      storage: null,
      worker: { ...FETCH, bucket: "my-mail" },
      publicBaseUrl: "https://files.example.com",
    });
    expect(problemsOf(without("R2_FETCH_TOKEN")).map(({ key }) => key)).toEqual([
      "offload.fetch_worker.token",
    ]);
  });

  test.each<[string, Record<string, string>]>([
    ["the switch, off", { R2_FETCH_ENABLED: "false" }],
    ["the switch, on", { R2_FETCH_ENABLED: "true" }],
    ["our own switch, off", { SIGNALPOST_OFFLOAD_FETCH_WORKER_ENABLED: "false" }],
    ["all but the endpoint", without("R2_FETCH_ENDPOINT")],
    ["an empty endpoint", { ...SERVICE, R2_FETCH_ENDPOINT: " " }],
    ["all but the switch, which was off then", without("R2_FETCH_ENABLED")],
    ["everything, switched off", { ...SERVICE, R2_FETCH_ENABLED: "0" }],
    ["the bucket", { R2_BUCKET_NAME: "my-mail" }],
  ])("of the Python service change nothing when they are %s", (_, env) => {
    expect(settingsOf(env)).toBeNull();
    expect(settingsOf(env, textOf(R2))).toMatchObject({
      storage: { bucket: "my-mail" },
      worker: null,
    });
  });

  test("of the Python service fill in what the file or ours begin", () => {
    const name = { R2_BUCKET_NAME: "other", R2_FETCH_TOKEN: "fresh" };
    expect(settingsOf(name, textOf(LINKS))?.worker).toMatchObject({
      bucket: "other",
      token: "fresh",
    });
    const ours = { SIGNALPOST_OFFLOAD_FETCH_WORKER_URL: FETCH.url };
    expect(
      settingsOf({ ...without("R2_FETCH_ENABLED", "R2_FETCH_ENDPOINT"), ...ours })?.worker,
    ).toEqual(expect.objectContaining(FETCH));
    const storage = {
      SIGNALPOST_OFFLOAD_ENDPOINT: R2.endpoint,
      SIGNALPOST_OFFLOAD_ACCESS_KEY_ID: "id",
      SIGNALPOST_OFFLOAD_SECRET_ACCESS_KEY: "word",
    };
    expect(settingsOf({ ...storage, R2_BUCKET_NAME: "other" })?.storage?.bucket).toBe("other");
  });

  test("switch a worker of the file off, and its section with it when that is all", () => {
    expect(settingsOf({ R2_FETCH_ENABLED: "false" }, textOf(LINKS))).toBeNull();
    expect(settingsOf({ R2_FETCH_ENABLED: "false" }, textOf({ ...R2, ...LINKS }))).toMatchObject({
      worker: null,
    });
  });

  test("of the Python service are told when they are wrong and count", () => {
    const env = { ...SERVICE, R2_FETCH_ENABLED: "maybe", R2_FETCH_ENDPOINT: `http://${CANARY}/` };
    const problems = problemsOf(env);
    expect(problems.map(({ key }) => key)).toEqual([
      "offload.fetch_worker.enabled",
      "offload.fetch_worker.url",
    ]);
    expect(problems.map(({ message }) => message)).toEqual([
      "R2_FETCH_ENABLED: write true or false",
      expect.stringMatching(/^R2_FETCH_ENDPOINT: write an https:\/\/ address/),
    ]);
  });
});
