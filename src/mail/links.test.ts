// Links to providers: found, judged by their host, cleaned. The numbers of vectors are those of the
// list of reference vectors, with the fixes marked there.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, MAX_HTML_BYTES } from "../core/limits.ts";
import { assembleBody } from "./body.ts";
import { extractLinks } from "./links.ts";

const urlsOf = (...texts: (string | null)[]): string[] =>
  extractLinks(texts, 200).links.map(({ url }) => url);

describe("extractLinks", () => {
  test("vector 15: undoes HTML escapes in a link", () => {
    const text = 'href="https://www.dropbox.com/scl/fi/abc/file.png?rlkey=foo&amp;dl=0"';
    expect(extractLinks([text], 200)).toEqual({
      links: [
        {
          provider: "dropbox",
          url: "https://www.dropbox.com/scl/fi/abc/file.png?rlkey=foo&dl=0",
          offloaded: null,
        },
      ],
      truncated: false,
    });
  });

  test("vector 15: undoes every spelling of an escape, and each once", () => {
    const forms = ["&amp;", "&#38;", "&#x26;", "&AMP;"];
    const texts = forms.map((form) => `<a href="https://dropbox.com/s/a?b=1${form}dl=0">`);
    expect(urlsOf(...texts)).toEqual(["https://dropbox.com/s/a?b=1&dl=0"]);
    expect(urlsOf("https://dropbox.com/a?b=1&amp;amp;c=2")).toEqual([
      "https://dropbox.com/a?b=1&amp;c=2",
    ]);
  });

  test("vector 16: lists a URL once that stands in text and HTML", () => {
    const url = "https://fromsmash.com/ABC";
    expect(extractLinks([`see ${url}\n`, `<a href="${url}">${url}</a>`], 200).links).toEqual([
      { provider: "fromsmash", url, offloaded: null },
    ]);
  });

  test("vector 16: keeps the order in which links stand, text before HTML", () => {
    const [a, b, c] = [
      "https://wetransfer.com/a",
      "https://dropbox.com/b",
      "https://fromsmash.com/c",
    ];
    expect(urlsOf(`${c} ${a}`, `<p>${b}</p><p>${a}</p>`)).toEqual([c, a, b]);
    // Told apart by their exact text: what a server makes of letters and slashes is its own affair.
    expect(urlsOf(`${a} ${a}/ ${a.toUpperCase()}`)).toHaveLength(3);
  });

  test("vector 17: leaves out the pictures of signatures and keeps other pictures", () => {
    const at = "https://www.dropbox.com/scl/fi/7";
    for (const name of ["ms", "Logo", "avatar", "PROFILE"]) {
      for (const type of ["png", "jpg", "jpeg", "webp", "gif"]) {
        expect(urlsOf(`${at}/${name}-1.${type}?rlkey=a&amp;raw=1`)).toEqual([]);
      }
    }
    expect(urlsOf(`${at}/MS.png?raw=1 ${at}/logo-2.JPEG?rlkey=a&raw=1`)).toEqual([]);
    const kept = [`${at}/photo.png?raw=1`, `${at}/MS.png?raw=0`, `${at}/MS.zip?raw=1`];
    expect(urlsOf(kept.join(" "))).toEqual(kept);
  });

  test("vector 18: refuses a host that only begins like a provider, and trims punctuation", () => {
    expect(urlsOf("https://dropbox.com.evil.tld/x")).toEqual([]);
    expect(urlsOf("(https://fromsmash.com/ABC),")).toEqual(["https://fromsmash.com/ABC"]);
    expect(urlsOf("{https://wetransfer.com/a'}]!?;:.")).toEqual(["https://wetransfer.com/a"]);
    expect(urlsOf("<a href='https://wetransfer.com/a'>")).toEqual(["https://wetransfer.com/a"]);
  });

  test("vector 19: takes neither short links nor other schemes", () => {
    expect(urlsOf("https://we.tl/t-abc ftp://dropbox.com/x")).toEqual([]);
  });

  test("vector 23: gives no link that lies behind the cap", () => {
    const url = "https://fromsmash.com/late";
    const raw = Buffer.from(`${"a".repeat(MAX_HTML_BYTES - 1)} ${url}`);
    const part = { kind: "html", encoding: "8bit", charset: "utf-8", sizeBytes: 0 } as const;
    const texts = [{ ...part, part: "1" }];
    const plan = { texts, attachments: [], truncated: [], tooDeep: false };
    const received = new Map([["1", { raw, complete: true }]]);
    const { html } = assembleBody(plan, received, DEFAULT_LIMITS);
    expect(urlsOf(html)).toEqual([]);
    expect(urlsOf(raw.toString())).toEqual([url]);
  });

  test("knows the four providers and their subdomains, over http and in any case", () => {
    const urls = [
      "https://www.dropbox.com/a",
      "http://fromsmash.com/b",
      "HTTPS://Sub.SwissTransfer.COM/c",
      "https://wetransfer.com:8443/d?e=f#g",
    ];
    const { links } = extractLinks([urls.join("\n")], 200);
    expect(links.map(({ url }) => url)).toEqual(urls);
    expect(links.map(({ provider }) => provider)).toEqual([
      "dropbox",
      "fromsmash",
      "swisstransfer",
      "wetransfer",
    ]);
  });

  test("keeps a link as written: http stays http, a port stays, and letters keep their case", () => {
    const kept = [
      "http://dropbox.com/a",
      "https://dropbox.com:443/a",
      "hTTps://DropBox.com:8443?B#C",
    ];
    expect(urlsOf(kept.join("\n"))).toEqual(kept);
    expect(
      urlsOf("https://dropbox.com:99999/a https://dropbox.com:/a https://dropbox.com:x/a"),
    ).toEqual([]);
  });

  test("finds a link inside the address of another host and before an escaped bracket", () => {
    expect(urlsOf("https://safe.tld/?u=https://dropbox.com/a")).toEqual(["https://dropbox.com/a"]);
    expect(urlsOf("&lt;https://dropbox.com/a&gt;b")).toEqual(["https://dropbox.com/a"]);
  });

  test("takes a host at the end of a sentence", () => {
    expect(urlsOf("Go to https://www.dropbox.com.")).toEqual(["https://www.dropbox.com"]);
  });

  test("keeps at most the given number and says when there were more", () => {
    const text = (count: number): string =>
      Array.from({ length: count }, (_, i) => `https://dropbox.com/${i}`).join(" ");
    expect(extractLinks([text(3)], 3)).toMatchObject({ links: { length: 3 }, truncated: false });
    expect(extractLinks([text(4)], 3)).toMatchObject({ links: { length: 3 }, truncated: true });
  });

  test("leaves out a text that is too long to be a link and says so", () => {
    const endless = `https://dropbox.com/${"a".repeat(10_000)}`;
    expect(extractLinks([endless, null, "https://dropbox.com/b"], 9)).toEqual({
      links: [{ provider: "dropbox", url: "https://dropbox.com/b", offloaded: null }],
      truncated: true,
    });
  });

  test("leaves out a link that the cap may have cut in two, and only of a text that was cut", () => {
    const texts = ["https://dropbox.com/a", "https://dropbox.com/b"];
    expect(extractLinks(texts, 9, [true, false])).toEqual({
      links: [{ provider: "dropbox", url: "https://dropbox.com/b", offloaded: null }],
      truncated: true,
    });
    expect(extractLinks(["https://dropbox.com/a "], 9, [true])).toMatchObject({
      links: { length: 1 },
      truncated: false,
    });
  });

  test("takes a hostile megabyte", () => {
    const fills = [
      "http://",
      "https://dropbox.com/",
      "https://dropbox.com@e.tld ",
      "http://a.",
      "&amp;",
    ];
    for (const fill of fills) {
      const { links } = extractLinks([fill.repeat(1_000_000 / fill.length)], 200);
      expect(links.length).toBeLessThanOrEqual(1);
    }
    const many = Array.from({ length: 30_000 }, (_, i) => `https://dropbox.com@e.tld/${i}`);
    expect(extractLinks([many.join(" ")], 200)).toEqual({ links: [], truncated: true });
  });

  test("gives only parsable links of a provider, each once, for any text", () => {
    const piece = fc.constantFrom(
      ..."https:// http:// dropbox.com .www. wetransfer.com / @ : \\ ? & &amp; &#46; < ) . é".split(
        " ",
      ),
      " ",
      "\u3002",
    );
    const text = fc
      .array(fc.oneof(piece, fc.string()), { maxLength: 20 })
      .map((all) => all.join(""));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 3 }), (texts) => {
        const urls = urlsOf(...texts);
        expect(new Set(urls).size).toBe(urls.length);
        for (const url of urls) {
          const { hostname, username, protocol } = new URL(url);
          expect(hostname).toMatch(/(^|\.)(dropbox|wetransfer)\.com$/);
          expect([username, /^https?:$/.test(protocol)]).toEqual(["", true]);
        }
      }),
    );
  });
});
