// What the worker is asked to fetch for a link, and the key it puts it under.
import { describe, expect, test } from "vitest";
import type { ProviderLink } from "../core/message.ts";
import { linkKey, sourceUrlOf } from "./link-source.ts";

const sourceOf = (url: string, provider: ProviderLink["provider"] = "dropbox"): string | null =>
  sourceUrlOf({ provider, url, offloaded: null })?.href ?? null;

const WHOLE = "https://www.dropbox.com/scl/fo/abc/xyz?dl=1&rlkey=R";

describe("a Dropbox link", () => {
  test("vector 33: escapes undone, preview off, parameters in order", () => {
    expect(sourceOf("https://www.dropbox.com/scl/fo/abc/xyz?rlkey=R&amp;dl=0")).toBe(WHOLE);
  });

  test.each([
    "http://www.dropbox.com:80/scl/fo/abc/xyz?rlkey=R",
    "https://WWW.Dropbox.com:443/scl//fo/abc///xyz/?rlkey=R&dl=0&dl=1",
    "https://www.dropbox.com/scl/fo/abc/xyz?st=&rlkey=R&rlkey=R#page",
    "https://www.dropbox.com/scl/fo/abc/xyz?rlkey=R&amp;amp;dl=0",
    "https://www.dropbox.com/scl/fo/abc/xyz?rlkey=R&amp%3Bdl=0",
    "https://www.dropbox.com/scl/fo/abc/xyz%3Frlkey%3DR%26dl%3D0",
    "https://www.dropbox.com/scl/fo/abc/xyz%253Frlkey%253DR",
  ])("has one form, however it is written: %s", (link) => {
    expect(sourceOf(link)).toBe(WHOLE);
  });

  test("keeps an empty rlkey, another port, and what an escape in a value means", () => {
    expect(sourceOf("https://www.dropbox.com/s/a?rlkey=")).toBe(
      "https://www.dropbox.com/s/a?dl=1&rlkey=",
    );
    expect(sourceOf("https://www.dropbox.com:8443/s/a")).toBe(
      "https://www.dropbox.com:8443/s/a?dl=1",
    );
    expect(sourceOf("https://www.dropbox.com/s/a%26b?rlkey=a%26b")).toBe(
      "https://www.dropbox.com/s/a%26b?dl=1&rlkey=a%26b",
    );
  });
});

describe("any link", () => {
  test("of another provider is fetched as written, by https", () => {
    expect(sourceOf("http://www.swisstransfer.com/d/1?a=1&dl=0", "swisstransfer")).toBe(
      "https://www.swisstransfer.com/d/1?a=1&dl=0",
    );
  });

  test("that is none, or has a password in it, is not fetched", () => {
    const links = ["https://", "ftp://dropbox.com/a", "https://me:word@www.dropbox.com/a"];
    for (const link of links) expect(sourceOf(link)).toBeNull();
  });
});

describe("a key", () => {
  const keyOf = (url: string): string => linkKey("dropbox", new URL(url));
  const nameOf = (path: string): string | undefined =>
    keyOf(`https://www.dropbox.com${path}`).split("/").at(-1);

  test("names the provider, sixteen digits of the URL's hash, and the file", () => {
    expect(keyOf("https://www.dropbox.com/s/abc/film.zip?dl=1")).toMatch(
      /^dropbox\/[0-9a-f]{8}\/[0-9a-f]{8}\/film\.zip$/,
    );
    expect(keyOf("https://www.dropbox.com/a.b?dl=1")).toBe("dropbox/8c998dd5/42585cbd/a.b");
  });

  test.each([
    ["/s/abc", "file"],
    ["/s/..%2f..%2fetc.conf", ".._.._etc.conf"],
    ["/s/%2e%2e%2e", "file"],
    ["/s/a%0d%0ab.zip", "a_b.zip"],
    ["/s/a%5cb.zip", "a_b.zip"],
    ["/s/half%E9.zip", "half%E9.zip"],
    ["/s/%C3%A9t%C3%A9.zip", "été.zip"],
  ])("has a safe name of %s: %s", (path, name) => {
    expect(nameOf(path)).toBe(name);
  });

  test("keeps the end of a long name, where the type is", () => {
    const name = nameOf(`/s/${"n".repeat(500)}.zip`) ?? "";
    expect([name.length, name.endsWith(".zip")]).toEqual([100, true]);
  });
});
