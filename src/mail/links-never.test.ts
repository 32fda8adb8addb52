// Addresses that must never be taken for a link to a provider, however they are spelled and wherever
// they stand: whoever opens a link of ours must come to a provider and to nobody else.
import { escapeAttribute } from "entities";
import { describe, expect, test } from "vitest";
import { extractLinks } from "./links.ts";

const NEVER: readonly (readonly [what: string, ...spellings: string[]])[] = [
  [
    "hosts that begin or end like a provider",
    "https://dropbox.com.evil.tld/x",
    "https://www.dropbox.com.evil.tld/x",
    "https://xdropbox.com/x",
    "https://dropbox.com-evil.tld/x",
    "https://dropbox.comevil.tld/x",
    "https://dropbox.co/x",
    "https://com/dropbox.com",
    "https://evil.tld/dropbox.com",
    "https://evil.tld/?dropbox.com#wetransfer.com",
  ],
  [
    "user information",
    "https://fromsmash.com@evil.tld/x",
    "https://dropbox.com:443@evil.tld/x",
    "https://dropbox.com:dropbox.com@evil.tld/x",
    "https://dropbox.com%40evil.tld/x",
    "https://user:dropbox.com@evil.tld/",
    "https://me@dropbox.com/x",
    "https://me:word@dropbox.com/x",
    "https://@dropbox.com/x",
    "https://evil.tld@dropbox.com@evil.tld/x",
  ],
  [
    "addresses of machines",
    "http://[::ffff:127.0.0.1]/",
    "http://169.254.169.254/",
    "http://169.254.169.254/dropbox.com",
    "http://dropbox.com@169.254.169.254/",
    "http://2852039166/",
    "http://0x7f.1/",
    "http://[fd00:ec2::254]/wetransfer.com",
    "http://127.0.0.1.dropbox.com.evil.tld/",
  ],
  [
    "letters that look alike, and their punycode",
    "https://dr\u043Epbox.com/x",
    "https://dropbo\u0445.com/x",
    "https://\uFF44ropbox.com/x",
    "https://dropbox\uFF0Ecom/x",
    "https://dropbox.com\u3002evil.tld/x",
    "https://dropbox.com\uFF0Eevil.tld/x",
    "https://dropbox.com\uFF0F.evil.tld/x",
    "https://dropbox.com\uFF20evil.tld/x",
    "https://dropbox.com\u2044.evil.tld/x",
    "https://dropbox.com\u00AD.evil.tld/x",
    "https://dropbox.com\u200B.evil.tld/x",
    "https://drop\u00ADbox.com/x",
    "https://dropbox.com\u00AD/x",
    "https://dropbox.c\u00F6m/x",
    "https://xn--drpbox-7we.com/x",
    "https://dropbox.xn--com-0na/x",
    "https://dropbox.com.xn--p1ai/x",
  ],
  [
    "dots too many",
    "https://dropbox.com./x",
    "https://dropbox.com../x",
    "https://dropbox..com/x",
    "https://.dropbox.com/x",
    "https://a..dropbox.com/x",
    "https://.com/dropbox",
  ],
  [
    "ports that are none",
    "https://dropbox.com:/x",
    "https://dropbox.com:evil.tld/x",
    "https://dropbox.com:443.evil.tld/x",
    "https://dropbox.com:99999/x",
    "https://dropbox.com:-1/x",
  ],
  [
    "backslashes",
    "https://dropbox.com\\@evil.tld/x",
    "https://dropbox.com\\.evil.tld/x",
    "https://dropbox.com:443\\@evil.tld/x",
    "https:\\\\dropbox.com\\x",
    "https:/\\dropbox.com/x",
    "https://evil.tld\\dropbox.com/x",
  ],
  [
    "blanks and line ends inside",
    "https://dropbox.com\t.evil.tld/x",
    "https://dropbox.com\r\n.evil.tld/x",
    "https://dropbox.com\n@evil.tld/x",
    "https://dropbox.com:443\t@evil.tld/x",
    "https://dropbox.com\t\\@evil.tld/x",
    "https://drop\tbox.com/x",
    "https://drop\nbox.com/x",
    "https:/\n/dropbox.com/x",
    "ht\ttps://dropbox.com/x",
    "https:// dropbox.com/x",
  ],
  [
    "escapes in the host",
    "https://dropbox.com&#46;evil.tld/x",
    "https://dropbox.com&period;evil.tld/x",
    "https://dropbox.com&commat;evil.tld/x",
    "https://dropbox.com&#9;.evil.tld/x",
    "https://dropbox.com&bsol;.evil.tld/x",
    "https://dropbox&#46;com&#46;evil.tld/x",
    "https://dropbox%2Ecom/x",
    "https://dropbox.com%2Eevil.tld/x",
    "https://dropbox.com%2F.evil.tld/x",
    "https://dropbox.com%00.evil.tld/x",
    "https://%64ropbox.com/x",
    "https://dropbox.com%09.evil.tld/x",
  ],
  [
    "other schemes and half ones",
    "https:dropbox.com",
    "https:/dropbox.com/x",
    "https:///dropbox.com/x",
    "https:////dropbox.com/x",
    "//dropbox.com/x",
    "://dropbox.com/x",
    "www.dropbox.com/x",
    "ftp://dropbox.com/x",
    "javascript://dropbox.com/%0aalert(1)",
    "file://dropbox.com/x",
    "https;//dropbox.com/x",
    "HTTPS:DROPBOX.COM/X",
  ],
  ["short links", "https://we.tl/t-abc", "https://db.tt/abc"],
];

/** Every character as a numeric reference, so that nothing of the spelling stands there in plain. */
const numeric = (text: string): string =>
  [...text].map((char) => `&#x${char.codePointAt(0)?.toString(16)};`).join("");

/** All references but for the scheme, without which nothing would be looked at. */
const numericBehindScheme = (text: string): string => {
  const [, scheme = "", rest = ""] = /^(https?:\/\/)?([\s\S]*)$/i.exec(text) ?? [];
  return `${scheme}${numeric(rest)}`;
};

/** Letters and dots plain, so that the host shows; the rest is where the spellings do their work. */
const numericMarks = (text: string): string => {
  const [, scheme = "", rest = ""] = /^(https?:\/\/)?([\s\S]*)$/i.exec(text) ?? [];
  return `${scheme}${rest.replaceAll(/[^a-z0-9.]/gi, numeric)}`;
};

const PLACES: readonly (readonly [place: string, (spelling: string) => string])[] = [
  ["alone", (spelling) => spelling],
  ["in a sentence", (spelling) => `Take it (${spelling}), please.`],
  ["in double quotes", (spelling) => `<a href="${spelling}">x</a>`],
  ["in single quotes", (spelling) => `<a href='${spelling}'>x</a>`],
  ["in no quotes", (spelling) => `<a href=${spelling}>x</a>`],
  ["with HTML escapes", (spelling) => `<a href="${escapeAttribute(spelling)}">x</a>`],
  ["as references", (spelling) => `<a href="${numeric(spelling)}">x</a>`],
  ["with its host as references", (spelling) => `<a href="${numericBehindScheme(spelling)}">`],
  ["with its marks as references", (spelling) => `<a href="${numericMarks(spelling)}">`],
];

describe("never a link to a provider", () => {
  for (const [what, ...spellings] of NEVER) {
    test.each(PLACES)(`${what}, %s`, (_place, put) => {
      for (const spelling of spellings) {
        const text = put(spelling);
        expect({ spelling, links: extractLinks([text, null], 9).links }).toEqual({
          spelling,
          links: [],
        });
        expect(extractLinks([null, text.toUpperCase()], 9).links).toEqual([]);
      }
    });
  }

  test("the places would show a link if there were one", () => {
    for (const [place, put] of PLACES) {
      const found = extractLinks([put("https://dropbox.com/x?y=1&z")], 9).links.map(
        ({ url }) => url,
      );
      const isHidden = place === "as references" || place === "with its host as references";
      expect([place, found]).toEqual([place, isHidden ? [] : ["https://dropbox.com/x?y=1&z"]]);
    }
  });
});
