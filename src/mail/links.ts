// Links to the known transfer providers, out of text and HTML. A scan in one direction: no pattern that
// can backtrack, every host judged by its exact name. Pure; the orchestrator calls it on the text that
// the caps left.
import { decodeHTMLStrict } from "entities";
import type { ProviderLink } from "../core/message.ts";

const PROVIDERS: ReadonlyMap<string, ProviderLink["provider"]> = new Map([
  ["dropbox.com", "dropbox"],
  ["fromsmash.com", "fromsmash"],
  ["swisstransfer.com", "swisstransfer"],
  ["wetransfer.com", "wetransfer"],
]);

/** Longer than any server takes in a request line; such a text is no link. */
const MAX_LINK_CHARS = 8192;

/** So many different texts that look like links are judged; a message of links is no delivery. */
const MAX_CANDIDATES = 5000;

const SCHEME = /https?:\/\//gi;
/** A DNS name has at most 253 characters (RFC 1035). */
const HOST = /[a-z0-9.-]{1,253}/iy;

/** What ends a link: white space, controls, and marks that stand around one and never inside. */
const END = /[\s\p{Cc}<>"\\`]/gu;

/** Behind a bare host: what a browser drops or reads as a slash, and then more of the address. */
const GOES_ON = /\\|[\t\r\n]+[.:@\\]/y;

/**
 * Scheme, host and perhaps a port, in plain ASCII and with something in every label. Whoever parses such
 * an address comes to the same host; any other spelling of a provider's name has something to hide.
 */
const PLAIN = /^https?:\/\/((?:[a-z0-9-]+\.)+[a-z0-9-]+)(?::\d+)?(?=[/?#]|$)/i;

/** Punctuation of the sentence around a link, when it stands at its end. */
const TRAILING = new Set(".,;:!?')]}");

/** A Dropbox file that is a picture, shown inline. */
const DROPBOX_PICTURE = /^\/scl\/fi\/.*\/(ms|logo|avatar|profile)[^/]*\.(png|jpe?g|webp|gif)$/i;

/** The provider of an exact host name or of a subdomain of it; null for every other host. */
const providerOf = (hostname: string): ProviderLink["provider"] | null => {
  const domainAt = hostname.lastIndexOf(".", hostname.lastIndexOf(".") - 1) + 1;
  return PROVIDERS.get(hostname.slice(domainAt).toLowerCase()) ?? null;
};

const endFrom = (text: string, start: number): number => {
  END.lastIndex = start;
  return END.exec(text)?.index ?? text.length;
};

/** Does a link whose host begins at `host` end at `end` without a path, while a browser reads on? */
const isHostCut = (text: string, host: number, end: number): boolean => {
  GOES_ON.lastIndex = end;
  return GOES_ON.test(text) && !/[/?#]/.test(text.slice(host, end));
};

/**
 * The link as a person would copy it: HTML escapes undone, the sentence's punctuation left out; null
 * when it only looks like one because a mark cut its host.
 */
const cleaned = (token: string): string | null => {
  const plain = decodeHTMLStrict(token);
  let end = endFrom(plain, 0);
  if (isHostCut(plain, plain.indexOf("//") + 2, end)) return null;
  while (end > 0 && TRAILING.has(plain.charAt(end - 1))) end -= 1;
  return plain.slice(0, end);
};

/** Signatures and logos that Dropbox hosts are no deliveries. */
const isDecoration = (url: URL): boolean =>
  url.searchParams.get("raw") === "1" && DROPBOX_PICTURE.test(url.pathname);

/** The link that this text is, or null: its host as written must be the one that WHATWG URL reads. */
const linkOf = (text: string): ProviderLink | null => {
  const host = PLAIN.exec(text)?.[1]?.toLowerCase();
  const url = URL.parse(text);
  if (host === undefined || url === null || url.hostname !== host) return null;
  const provider = providerOf(host);
  if (provider === null) return null;
  return provider === "dropbox" && isDecoration(url)
    ? null
    : { provider, url: text, offloaded: null };
};

/** Every text that starts like a link to a provider, in order, and where it ends. */
function* candidates(text: string): Generator<{ token: string; end: number }> {
  for (let at = 0; ;) {
    SCHEME.lastIndex = at;
    const scheme = SCHEME.exec(text);
    if (scheme === null) return;
    at = SCHEME.lastIndex;
    HOST.lastIndex = at;
    // A sentence may end right behind a host.
    const host = HOST.exec(text)?.[0].replace(/\.$/, "") ?? "";
    if (providerOf(host) === null) continue;
    const end = endFrom(text, at);
    if (!isHostCut(text, at, end)) yield { token: text.slice(scheme.index, end), end };
    at = end;
  }
}

/**
 * The links to dropbox.com, fromsmash.com, swisstransfer.com and wetransfer.com (and subdomains) in
 * `texts`, each once, in order, as written but for HTML escapes. At most `max`; `truncated` says that
 * there were more, or one too long to be a link. `cut[i]` says that a cap cut `texts[i]`: a link that
 * runs to its very end is then only half of one, and is left out. Never throws.
 */
export const extractLinks = (
  texts: readonly (string | null)[],
  max: number,
  cut: readonly boolean[] = [],
): { links: ProviderLink[]; truncated: boolean } => {
  const links: ProviderLink[] = [];
  const seen = new Set<string>();
  let truncated = false;
  for (const [index, text] of texts.entries()) {
    if (text === null) continue;
    for (const { token, end } of candidates(text)) {
      const isHalf = cut[index] === true && end === text.length;
      if (isHalf || token.length > MAX_LINK_CHARS) {
        truncated = true;
        continue;
      }
      const written = cleaned(token);
      if (written === null || seen.has(written)) continue;
      seen.add(written);
      const link = linkOf(written);
      if (seen.size > MAX_CANDIDATES) return { links, truncated: true };
      if (link === null) continue;
      if (links.length >= max) return { links, truncated: true };
      links.push(link);
    }
  }
  return { links, truncated };
};
