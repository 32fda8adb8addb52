// A provider's link as the fetch worker is given it, and the key of the object that it makes of it. Pure;
// fetch-worker.ts calls it. What is done to Dropbox links is what the Python service did to them.
import { createHash } from "node:crypto";
import { decodeHTMLStrict } from "entities";
import { capText } from "../core/limits.ts";
import type { ProviderLink } from "../core/message.ts";

/** Links that went through several programs are escaped several times. */
const MAX_PASSES = 3;

/** Of a file's name this much is kept in a key, which S3 limits to 1024 bytes. */
const MAX_NAME_CHARS = 100;

/** A path in which the query is escaped, too. */
const HIDDEN_QUERY = /%(25)*3f/i;

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** The link without the escapes that were put over it. */
const unescaped = (link: string): URL | null => {
  let text = link;
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    const plain = decodeHTMLStrict(text).replaceAll(/&amp%3b/gi, "&");
    const url = URL.parse(plain);
    const isHidden = url !== null && url.search === "" && HIDDEN_QUERY.test(url.pathname);
    const next = isHidden ? decoded(plain) : plain;
    if (next === text) break;
    text = next;
  }
  return URL.parse(text);
};

/** The parameters that say which file is meant, each once, in order, and the one that asks for it. */
const directParameters = (url: URL): URLSearchParams => {
  const kept = new Map<string, readonly [string, string]>();
  for (const [rawName, rawValue] of url.searchParams) {
    const [name, value] = [rawName.trim(), rawValue.trim()];
    const isKept = name !== "" && (value !== "" || name.toLowerCase() === "rlkey");
    if (isKept && name.toLowerCase() !== "dl") kept.set(`${name}\0${value}`, [name, value]);
  }
  const order = ([name, value]: readonly [string, string]): string =>
    `${name.toLowerCase()}\0${value}`;
  const pairs = [...kept.values(), ["dl", "1"] as const].toSorted((a, b) =>
    order(a) < order(b) ? -1 : 1,
  );
  const parameters = new URLSearchParams();
  for (const [name, value] of pairs) parameters.append(name, value);
  return parameters;
};

/**
 * The URL that the worker is to fetch: always `https:`, and for Dropbox in one form, without the
 * parameter of a preview and with `dl=1`. Null when it is no URL, or one with a password in it.
 */
export const sourceUrlOf = ({ provider, url: link }: ProviderLink): URL | null => {
  const url = provider === "dropbox" ? unescaped(link) : URL.parse(link);
  if (url === null || url.username !== "" || url.password !== "") return null;
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  // Port 80 of an `http:` URL is no part of it, so that none is left.
  url.protocol = "https:";
  url.hash = "";
  if (provider !== "dropbox") return url;
  url.pathname = url.pathname.replaceAll(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
  url.search = directParameters(url).toString();
  return url;
};

/** The name of the file that a path leads to, fit for a key; "file" when it shows none. */
const fileNameOf = (pathname: string): string => {
  const last = decoded(pathname.split("/").at(-1) ?? "");
  const safe = last.toWellFormed().replaceAll(/[\p{Cc}\p{Zl}\p{Zp}/\\]+/gu, "_");
  if (!safe.includes(".") || /^[._\s]*$/.test(safe)) return "file";
  // From the end, where the type is.
  return capText([...safe].slice(-MAX_NAME_CHARS).join(""), MAX_NAME_CHARS);
};

/** `provider/hash/hash/name`: the same link lies under the same key, whatever mail it comes in. */
export const linkKey = (provider: ProviderLink["provider"], source: URL): string => {
  const hash = createHash("sha256").update(source.href, "utf8").digest("hex");
  return `${provider}/${hash.slice(0, 8)}/${hash.slice(8, 16)}/${fileNameOf(source.pathname)}`;
};
