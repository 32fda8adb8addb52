// Links: whatever comes out leads to a provider, judged by other means than the program's own; a good
// link in the middle of anything is found; nothing comes twice, too long, or in too great a number.
import { decodeHTML } from "entities";
import fc from "fast-check";
import { extractLinks } from "../../../src/mail/links.ts";
import { textOf } from "../inputs.ts";
import { createTarget, must, mustBeText } from "../target.ts";

const TOKENS = [
  ...["https://", "http://", "HTTPS://", "https:", "//", "/", "\\", "@", ":", ".", "?", "#", "&"],
  ...["dropbox.com", "www.dropbox.com", "fromsmash.com", "swisstransfer.com", "WeTransfer.com"],
  ...["evil.tld", "127.0.0.1", "[::1]", ":443", "%2e", "%40", "&amp;", "&#46;", "&#x40;", "&#9;"],
  ...["&lt;", "&commat;", "&period;", "&bsol;", "&Tab;", "&#0;", "&#xd800;", "\t", "\n", " ", "<a"],
  ...[' href="', "'", ")", "]", "raw=1", "/scl/fi/", "/ms.png?", "\u3002", "\u00ad", "xn--a."],
];

const PROVIDER = /^(?:[a-z0-9-]+\.)*(dropbox|fromsmash|swisstransfer|wetransfer)\.com$/;
const MAX_LINK_CHARS = 8192;

/** The authority of a URL, found as an old and simple client would: up to the first slash of any kind. */
const simpleHost = (url: string): string =>
  (/^https?:\/\/([^/?#\\\s]*)/i.exec(url)?.[1] ?? "").replace(/^.*@/, "").replace(/:\d*$/, "");

const checkLink = (url: string, provider: string): void => {
  mustBeText(url, "a link");
  must(url.length <= MAX_LINK_CHARS, "a link is too long");
  must(!/[\s\p{Cc}<>"]/u.test(url), "a link holds a blank or a mark that ends one");
  const { protocol, hostname, username, password } = new URL(url);
  must(protocol === "https:" || protocol === "http:", "a link of another scheme");
  must(
    username === "" && password === "" && !/^[^?#]*@/.test(url.slice(0, 300).split("/")[2] ?? ""),
    "a link with a user",
  );
  must(PROVIDER.exec(hostname)?.[1] === provider, "a link leads elsewhere");
  must(simpleHost(url).toLowerCase() === hostname, "a link that two clients read in two ways");
};

/** A link that must be found wherever it stands. */
const GOOD = "https://www.dropbox.com/scl/fi/good/report.pdf?rlkey=1&dl=0";

/** Any two texts, with one good link in the first. */
export const links = createTarget({
  name: "links",
  weight: 20,
  cases: fc.record({
    before: textOf(TOKENS, 1_000_000),
    after: textOf(TOKENS, 300),
    html: fc.option(textOf(TOKENS, 1_000_000), { freq: 2 }),
    max: fc.constantFrom(0, 1, 3, 200),
    cut: fc.array(fc.boolean(), { maxLength: 2 }),
    isEscaped: fc.boolean(),
  }),
  run: ({ before, after, html, max, cut, isEscaped }, meter) => {
    const good = isEscaped ? GOOD.replaceAll("&", "&amp;") : GOOD;
    const texts = [`${before} ${good} ${after}`.toWellFormed(), html?.toWellFormed() ?? null];
    const found = meter.turn(() => extractLinks(texts, max, cut));
    must(found.links.length <= max, "more links than the limit");
    const urls = found.links.map(({ url }) => url);
    must(new Set(urls).size === urls.length, "a link comes twice");
    for (const { url, provider, offloaded } of found.links) {
      checkLink(url, provider);
      must(offloaded === null, "a link is called offloaded");
    }
    must(found.truncated || urls.includes(GOOD), "a good link is not found");
    return found;
  },
});

const escapeOf = (char: string, kind: number): string => {
  const code = char.codePointAt(0) ?? 0;
  const named: Readonly<Record<string, string>> = { "&": "&amp;", "=": "&equals;", "?": "&quest;" };
  const forms = [char, `&#${code};`, `&#x${code.toString(16)};`, named[char] ?? char];
  return char === "&" ? (forms[1 + (kind % 3)] ?? char) : (forms[kind % 4] ?? char);
};

/** A link of which any characters behind the host are written as HTML entities comes out as it was. */
export const entities = createTarget({
  name: "entities",
  weight: 8,
  cases: fc.record({
    path: fc.stringMatching(/^([a-zA-Z0-9/_=?&%~+-]{0,60}[a-z])?$/),
    kinds: fc.array(fc.nat(3), { minLength: 1, maxLength: 60, size: "max" }),
    noise: textOf(["&", "&#", "&#x", "&amp", ";", "&lt;", "&#1114112;", "&#xffffffffff;"], 200_000),
  }),
  run: ({ path, kinds, noise }, meter) => {
    const url = `https://fromsmash.com/${path}`;
    const escaped = [...path].map((char, at) => escapeOf(char, kinds[at % kinds.length] ?? 0));
    const html = `<a href="https://fromsmash.com/${escaped.join("")}">`;
    const found = meter.turn(() => extractLinks([html], 9)).links.map((link) => link.url);
    must(found.length === 1 && found[0] === url, "an escaped link is not what it was");
    // The same noise behind a host: whatever is made of it, what a browser reads is judged.
    const noisy = `https://fromsmash.com/${noise}`.toWellFormed();
    const [link] = meter.turn(() => extractLinks([noisy], 1)).links;
    if (link !== undefined) {
      checkLink(link.url, link.provider);
      must(decodeHTML(noisy).startsWith(link.url) || noise.includes("&"), "a link was made up");
    }
    return [found, link];
  },
});
