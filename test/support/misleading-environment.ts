// An environment that leads the SDK of AWS astray: every variable and file that it reads by itself says something
// wrong, and a listener counts who follows it. For tests that nothing but the settings decides.
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** An environment in force; what was there before comes back at the end. */
export interface MisleadingEnvironment extends AsyncDisposable {
  /** Connections to where the environment points. */
  followers(): number;
}

const configFile = (away: string): string =>
  ["default", "profile leak"]
    .map(
      (name) => `[${name}]
region = leak
endpoint_url = ${away}
aws_access_key_id = leak
aws_secret_access_key = leak
sdk_ua_app_id = leak
max_attempts = 1
`,
    )
    .join("");

const variables = (away: string, file: string): Record<string, string> => ({
  AWS_ENDPOINT_URL: away,
  AWS_ENDPOINT_URL_S3: away,
  AWS_EC2_METADATA_SERVICE_ENDPOINT: away,
  AWS_CONTAINER_CREDENTIALS_FULL_URI: away,
  HTTP_PROXY: away,
  HTTPS_PROXY: away,
  http_proxy: away,
  https_proxy: away,
  AWS_PROFILE: "leak",
  AWS_CONFIG_FILE: file,
  AWS_SHARED_CREDENTIALS_FILE: file,
  AWS_ACCESS_KEY_ID: "leak",
  AWS_SECRET_ACCESS_KEY: "leak",
  AWS_SESSION_TOKEN: "leak",
  AWS_REGION: "leak",
  AWS_DEFAULT_REGION: "leak",
  AWS_DEFAULTS_MODE: "auto",
  AWS_EXECUTION_ENV: "leak",
  AWS_SDK_UA_APP_ID: "leak",
  AWS_LAMBDA_FUNCTION_NAME: "leak",
  _X_AMZN_TRACE_ID: "leak",
  AWS_RETRY_MODE: "adaptive",
  AWS_MAX_ATTEMPTS: "1",
  AWS_USE_FIPS_ENDPOINT: "true",
  AWS_USE_DUALSTACK_ENDPOINT: "true",
  AWS_REQUEST_CHECKSUM_CALCULATION: "WHEN_SUPPORTED",
  AWS_RESPONSE_CHECKSUM_VALIDATION: "WHEN_SUPPORTED",
  AWS_AUTH_SCHEME_PREFERENCE: "sigv4a",
  AWS_SIGV4A_SIGNING_REGION_SET: "leak",
});

/** Sets the environment of this process. */
export const misleadAws = async (): Promise<MisleadingEnvironment> => {
  let followers = 0;
  const listener = createServer((socket) => {
    followers += 1;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const away = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), "signalpost-aws-"));
  const file = join(folder, "config");
  writeFileSync(file, configFile(away));
  const said = Object.entries(variables(away, file));
  const before = said.map(([name]) => [name, process.env[name]] as const);
  for (const [name, value] of said) process.env[name] = value;
  return {
    followers: () => followers,
    async [Symbol.asyncDispose]() {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      rmSync(folder, { recursive: true });
      const closed = once(listener, "close");
      listener.close();
      await closed;
    },
  };
};
