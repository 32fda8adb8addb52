// Who is let in: tokens, loopback names and the tricks against both. Requests are plain objects; the
// socket's side is tested with the server.
import { describe, expect, test } from "vitest";
import { isAllowed, isAllowedWithoutToken } from "./access.ts";

const asking = (headers: Record<string, string>) => ({ headers });

describe("isAllowed with a token", () => {
  const access = { token: "s3cret", loopback: false };

  test.each(["Bearer s3cret", "bearer s3cret", "BEARER   s3cret "])("accepts %j", (value) => {
    expect(isAllowed(asking({ authorization: value }), access)).toBe(true);
  });

  test.each(["Bearer s3cre", "Bearer s3cret2", "Bearer ", "Basic s3cret", "s3cret", ""])(
    "refuses %j",
    (value) => {
      expect(isAllowed(asking({ authorization: value }), access)).toBe(false);
    },
  );

  test("refuses a loopback name that comes without the token", () => {
    expect(isAllowed(asking({ host: "localhost" }), { token: "s3cret", loopback: true })).toBe(
      false,
    );
  });
});

describe("isAllowed without a token", () => {
  const access = { token: null, loopback: true };

  test.each(["localhost", "LOCALHOST:8025", "127.0.0.1", "127.0.0.1:8025", "[::1]", "[::1]:8025"])(
    "lets in a request for %s",
    (host) => {
      expect(isAllowed(asking({ host }), access)).toBe(true);
    },
  );

  test.each(["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "0.0.0.0", ""])(
    "keeps out a request for %j",
    (host) => {
      expect(isAllowed(asking({ host }), access)).toBe(false);
    },
  );

  test("keeps out a request that names no host", () => {
    expect(isAllowed(asking({}), access)).toBe(false);
  });

  test("keeps everybody out when the server is not on loopback", () => {
    expect(isAllowed(asking({ host: "localhost" }), { token: null, loopback: false })).toBe(false);
  });
});

describe("isAllowedWithoutToken", () => {
  test("asks for no token where others may reach the server", () => {
    const access = { token: "s3cret", loopback: false };
    expect(isAllowedWithoutToken(asking({}), access)).toBe(true);
    expect(isAllowedWithoutToken(asking({ host: "probe.example" }), access)).toBe(true);
  });

  test.each([null, "s3cret"])(
    "keeps a rebound name out of a loopback server, token %j",
    (token) => {
      const access = { token, loopback: true };
      expect(isAllowedWithoutToken(asking({ host: "evil.example" }), access)).toBe(false);
      expect(isAllowedWithoutToken(asking({}), access)).toBe(false);
      expect(isAllowedWithoutToken(asking({ host: "localhost:1" }), access)).toBe(true);
    },
  );
});
