// The section `offload`: what it comes to, every rule by key and line without the value, and the
// secrets in files of their own. Its variables have a test of theirs beside this one.
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import type { OffloadSettings } from "../../core/settings.ts";
import { loadSettings } from "../load.ts";

const CANARY = "canary-7c1f";
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

type Section = Readonly<Record<string, unknown>>;

const BUCKET = { bucket: "my-mail" };
const KEYS = { access_key_id: "id", secret_access_key: "word" };
const R2 = { endpoint: "https://acc.r2.cloudflarestorage.com", ...BUCKET, ...KEYS };
const AWS = { region: "eu-west-3", ...BUCKET, ...KEYS };
const FETCH = { url: "https://fetch.example.com/in", token: "word" };
const LINKS = { ...BUCKET, public_base_url: "https://files.example.com", fetch_worker: FETCH };

const GOOD = `mailboxes:
  - { id: default, imap: { host: imap.example.com, user: me, password: word } }
webhook: { url: https://hooks.example.com/in, secret: ${SECRET} }
`;

const textOf = (offload: unknown): string => GOOD + stringify({ offload });

type Files = Readonly<Record<string, string>>;

const settingsOf = (text: string, files: Files = {}): OffloadSettings | null => {
  const all: Files = { ...files, c: text };
  const readConfigFile = (path: string) => {
    const found = all[path];
    return found === undefined ? null : { stamp: "", text: found };
  };
  return loadSettings({ path: "c", env: {}, readConfigFile }).settings.offload;
};

const problemsOf = (text: string): readonly ConfigProblem[] => {
  try {
    settingsOf(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const keysOf = (offload: Section): string[] => problemsOf(textOf(offload)).map(({ key }) => key);

describe("offload", () => {
  test.each([GOOD, `${GOOD}offload: null\n`, `${GOOD}offload:\n`])("is off in %j", (text) => {
    expect(settingsOf(text)).toBeNull();
  });

  test("comes out with its defaults, by the bucket's path where there is an endpoint", () => {
    expect(settingsOf(textOf(R2))).toEqual({
      storage: {
        endpoint: "https://acc.r2.cloudflarestorage.com",
        region: "auto",
        bucket: "my-mail",
        accessKeyId: "id",
        secretAccessKey: "word",
        pathStyle: true,
        allowPrivateAddresses: false,
      },
      worker: null,
      prefix: "",
      publicBaseUrl: null,
      presignSeconds: 604_800,
      minBytes: 0,
      maxBytes: 1024 ** 3,
      contentTypes: [],
      filenames: [],
    });
  });

  test("without an endpoint is AWS S3, by the host of the bucket", () => {
    const storage = { endpoint: null, region: "eu-west-3", pathStyle: false };
    expect(settingsOf(textOf(AWS))).toMatchObject({ storage });
  });

  test("takes every key at its word", () => {
    const section = {
      ...R2,
      endpoint: "http://127.0.0.1:9000/",
      region: "Garage_1",
      path_style: false,
      prefix: "mail/in.2",
      public_base_url: "http://Files.example.com:80/a/b//",
      presign_seconds: 60,
      min_bytes: 10,
      max_bytes: 10,
      content_types: ["Application/PDF", "image/*", "application/pdf"],
      filenames: ["*.PDF", "Facture *"],
      allow_private_addresses: true,
      fetch_worker: {
        ...FETCH,
        url: "http://10.0.0.9/in",
        hosts: ["DROPBOX.com", "a.wetransfer.com"],
      },
    };
    expect(settingsOf(textOf(section))).toEqual({
      storage: {
        endpoint: "http://127.0.0.1:9000",
        region: "Garage_1",
        bucket: "my-mail",
        accessKeyId: "id",
        secretAccessKey: "word",
        pathStyle: false,
        allowPrivateAddresses: true,
      },
      worker: {
        url: "http://10.0.0.9/in",
        token: "word",
        bucket: "my-mail",
        hosts: ["dropbox.com", "a.wetransfer.com"],
        allowPrivateAddresses: true,
      },
      prefix: "mail/in.2",
      publicBaseUrl: "http://files.example.com/a/b",
      presignSeconds: 60,
      minBytes: 10,
      maxBytes: 10,
      contentTypes: ["application/pdf", "image/*"],
      filenames: ["*.pdf", "facture *"],
    });
  });

  test("without a key is the worker alone, for the links of all four providers", () => {
    expect(settingsOf(textOf(LINKS))).toMatchObject({
      storage: null,
      worker: {
        ...FETCH,
        bucket: "my-mail",
        hosts: ["dropbox.com", "fromsmash.com", "swisstransfer.com", "wetransfer.com"],
      },
    });
  });

  test("takes a worker that is switched off for none, whatever else it says", () => {
    const off = (more: Section) => ({ ...more, fetch_worker: { enabled: false } });
    expect(settingsOf(textOf(off(R2)))).toMatchObject({
      storage: { bucket: "my-mail" },
      worker: null,
    });
    expect(settingsOf(textOf(off(BUCKET)))).toBeNull();
    const closed = { ...R2, fetch_worker: { ...FETCH, url: "https://10.0.0.9/", enabled: false } };
    expect(settingsOf(textOf(closed))).toMatchObject({ worker: null });
  });

  test("reads its secrets from files of their own", () => {
    const section = {
      endpoint: R2.endpoint,
      ...LINKS,
      access_key_id: "id",
      secret_access_key_file: "s3",
      fetch_worker: { url: FETCH.url, token_file: "token" },
    };
    const files = { s3: "from-s3\n", token: "from-token\n" };
    expect(settingsOf(textOf(section), files)).toMatchObject({
      storage: { secretAccessKey: "from-s3" },
      worker: { token: "from-token" },
    });
    expect(problemsOf(textOf(section))).toEqual([
      { key: "offload.fetch_worker.token_file", line: 10, message: "name a file that exists" },
      { key: "offload.secret_access_key_file", line: 12, message: "name a file that exists" },
    ]);
  });
});

const list = (count: number) => Array.from({ length: count }, (_, at) => `a${at}/b`);

const BAD: readonly (readonly [key: string, value: unknown])[] = [
  ["endpoint", CANARY],
  ["endpoint", `https://host/${CANARY}`],
  ["endpoint", `https://host/?${CANARY}`],
  ["endpoint", `https://host/#${CANARY}`],
  ["endpoint", `https://me:${CANARY}@host/`],
  ["endpoint", `ftp://${CANARY}`],
  ["endpoint", `http://${CANARY}.example.com`],
  ["endpoint", "https://127.0.0.1:9000"],
  ["endpoint", "https://2130706433"],
  ["endpoint", "https://169.254.169.254"],
  ["region", `${CANARY} 1`],
  ["bucket", "ab"],
  ["bucket", "a".repeat(64)],
  ["bucket", CANARY.toUpperCase()],
  ["bucket", `${CANARY}_`],
  ["bucket", `-${CANARY}`],
  ["bucket", `${CANARY}.`],
  ["bucket", `${CANARY}..b`],
  ["bucket", "192.168.5.4"],
  ["access_key_id", `${CANARY} b`],
  ["access_key_id", `${CANARY},b`],
  ["secret_access_key", `${CANARY}\n`],
  ["path_style", "yes"],
  ["prefix", `/${CANARY}`],
  ["prefix", `${CANARY}/`],
  ["prefix", `${CANARY}//b`],
  ["prefix", `../${CANARY}`],
  ["prefix", `${CANARY}/./b`],
  ["prefix", `${CANARY}/..`],
  ["prefix", `${CANARY} b`],
  ["prefix", "a".repeat(201)],
  ["public_base_url", CANARY],
  ["public_base_url", `http://${CANARY}.example.com`],
  ["public_base_url", `https://host/?${CANARY}`],
  ["public_base_url", `https://host/a#${CANARY}`],
  ["public_base_url", `https://me:${CANARY}@host/`],
  ["presign_seconds", 0],
  ["presign_seconds", 604_801],
  ["min_bytes", -1],
  ["min_bytes", 1024 ** 3 + 1],
  ["max_bytes", 0],
  ["max_bytes", 52_428_800_001],
  ["content_types[0]", [CANARY]],
  ["content_types[1]", ["image/*", `*/${CANARY}`]],
  ["content_types[0]", [`image/${CANARY}*`]],
  ["content_types[0]", [`text/plain; ${CANARY}`]],
  ["content_types[0]", [`text/${"a".repeat(200)}`]],
  ["content_types", list(101)],
  ["filenames[0]", [" "]],
  ["filenames[0]", [`${CANARY}\n`]],
  ["filenames[0]", ["a".repeat(201)]],
  ["filenames", list(101)],
  ["allow_private_addresses", CANARY],
  ["fetch_worker.enabled", CANARY],
  ["fetch_worker.url", CANARY],
  ["fetch_worker.url", `http://${CANARY}.example.com`],
  ["fetch_worker.url", `https://me:${CANARY}@host/`],
  ["fetch_worker.url", "https://[::1]/"],
  ["fetch_worker.token", `${CANARY} b`],
  ["fetch_worker.hosts[0]", [`${CANARY}.com`]],
  ["fetch_worker.hosts[0]", [`${CANARY}dropbox.com`]],
  ["fetch_worker.hosts[0]", [`dropbox.com.${CANARY}`]],
  ["fetch_worker.hosts[0]", [`.dropbox.com`]],
  ["fetch_worker.hosts[0]", [`https://${CANARY}.dropbox.com`]],
];

describe("a key of offload", () => {
  test.each(BAD)("%s refuses %j by key and line", (key, value) => {
    const [name = "", below = ""] = key.replace(/\[\d\]$/, "").split(".");
    const good = { ...R2, public_base_url: "https://files.example.com", fetch_worker: FETCH };
    const worker = { ...FETCH, [below]: value };
    const text = textOf({ ...good, [name]: below === "" ? value : worker });
    const problems = problemsOf(text);
    expect(problems.map((problem) => problem.key)).toEqual([`offload.${key}`]);
    const first = text.split("\n").findIndex((line) => line.trim().startsWith(`${below || name}:`));
    const entry = /\[(\d)\]$/.exec(key)?.[1];
    expect(problems[0]?.line).toBe(first + 1 + (entry === undefined ? 0 : Number(entry) + 1));
    expect(problems[0]?.message).toMatch(/^(write|the address is|at most) ?/);
    expect(problems[0]?.message.toLowerCase()).not.toContain(CANARY);
  });

  test.each([
    { bucket: "abc" },
    { bucket: `a.b-${"c".repeat(59)}` },
    { prefix: "a".repeat(200) },
    { prefix: "..a/b.." },
    { presign_seconds: 1, min_bytes: 52_428_800_000, max_bytes: 52_428_800_000 },
    { content_types: list(100), filenames: list(100) },
    { content_types: ["application/vnd.oasis.opendocument.text"] },
    { secret_access_key: "a/b+c==" },
  ])("may be %j", (keys) => {
    expect(keysOf({ ...R2, ...keys })).toEqual([]);
  });
});

describe("checks over several keys of offload", () => {
  test("say what to write when the section has no use", () => {
    expect(problemsOf(textOf(BUCKET))).toEqual([
      {
        key: "offload.access_key_id",
        line: 4,
        message:
          "is missing; write access_key_id and secret_access_key to upload attachments, or fetch_worker to have links fetched, or offload: null, or set SIGNALPOST_OFFLOAD_ACCESS_KEY_ID",
      },
    ]);
    expect(keysOf({})).toEqual(["offload.bucket", "offload.access_key_id"]);
  });

  test("refuse half a key pair, also beside a worker", () => {
    const { access_key_id, secret_access_key } = KEYS;
    const half = { endpoint: R2.endpoint, ...LINKS };
    expect(keysOf({ ...half, access_key_id })).toEqual(["offload.secret_access_key"]);
    expect(keysOf({ ...half, secret_access_key })).toEqual(["offload.access_key_id"]);
  });

  test("ask for a region that AWS has where there is no endpoint, and for storage alone", () => {
    for (const region of ["auto", "garage", "EU-WEST-3"])
      expect(keysOf({ ...AWS, region })).toEqual(["offload.region"]);
    for (const region of ["eu-west-3", "us-gov-east-1"])
      expect(keysOf({ ...AWS, region })).toEqual([]);
    expect(keysOf({ ...BUCKET, ...KEYS })).toEqual(["offload.region"]);
    expect(keysOf(LINKS)).toEqual([]);
  });

  test("ask for what a worker needs, each by its key", () => {
    expect(keysOf({ ...BUCKET, fetch_worker: {} })).toEqual([
      "offload.public_base_url",
      "offload.fetch_worker.url",
      "offload.fetch_worker.token",
    ]);
    const [problem] = problemsOf(textOf({ ...BUCKET, fetch_worker: FETCH }));
    expect(problem?.message).toMatch(/^is missing; write .*checked.*, or set R2_PUBLIC_BASE_URL$/);
  });

  test("run beside an unknown key and an unrelated error", () => {
    const section = { ...R2, prefx: "a", min_bytes: 9, max_bytes: 8, presign_seconds: 0 };
    expect(keysOf(section).toSorted()).toEqual([
      "offload.min_bytes",
      "offload.prefx",
      "offload.presign_seconds",
    ]);
  });

  test("open http for private addresses and names, never for public ones", () => {
    const open = (endpoint: string) => keysOf({ ...R2, endpoint, allow_private_addresses: true });
    expect(open("http://minio.internal:9000")).toEqual([]);
    expect(open("http://[::1]:9000")).toEqual([]);
    expect(open("http://93.184.216.34")).toEqual(["offload.endpoint"]);
    expect(open("https://169.254.169.254")).toEqual(["offload.endpoint"]);
  });

  test("ask for a second connection to every mailbox where attachments are read", () => {
    const one = GOOD.replace("password: word", "password: word, max_connections: 1");
    const more = "  - { id: b, imap: { host: h, user: u, password: p, max_connections: 2 } }\n";
    const text = one.replace("webhook:", `${more}webhook:`);
    expect(problemsOf(text + stringify({ offload: R2 }))).toEqual([
      {
        key: "mailboxes[0].imap.max_connections",
        line: 2,
        message: "write 2 or more; with offload attachments are read on a second connection",
      },
    ]);
    expect(problemsOf(text + stringify({ offload: LINKS }))).toEqual([]);
    expect(problemsOf(text)).toEqual([]);
  });
});
