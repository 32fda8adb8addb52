// The headers that an object is stored with, and later served with to a browser. Whatever a message says,
// they cannot be broken out of, and nothing is ever shown in place of being saved. Pure.

const MAX_NAME_CHARS = 200;

/** RFC 9110 section 5.6.2, and no longer than RFC 6838 section 4.2 allows. */
const TYPE = /^[\w!#$%&'*+.^`|~-]{1,127}\/[\w!#$%&'*+.^`|~-]{1,127}$/;

/** Controls, also those that turn the direction of writing and so hide an ending, and path separators. */
const UNFIT = /[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069/\\]/gu;

/** `type` when it is `type/subtype` and nothing else; else `application/octet-stream`. */
export const contentTypeOf = (type: string): string =>
  TYPE.test(type) ? type : "application/octet-stream";

/** RFC 8187 section 3.2: all but its `attr-char` as octets. */
const percentEncoded = (name: string): string =>
  encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/**
 * `Content-Disposition` (RFC 6266) with `filename`, or the last part of `key` without one, of at most 200
 * characters: a plain name for old readers and an encoded one. Always `attachment`: an object may be served
 * from a public domain, where HTML of a stranger must not be shown.
 */
export const attachmentNamed = (filename: string | null, key: string): string => {
  const given = filename ?? key.slice(key.lastIndexOf("/") + 1);
  const fit = [...given.toWellFormed().replaceAll(UNFIT, "_")].slice(0, MAX_NAME_CHARS).join("");
  const name = fit === "" ? "attachment" : fit;
  const plain = name.replaceAll(/[^ -~]|["%]/gu, "_");
  return `attachment; filename="${plain}"; filename*=UTF-8''${percentEncoded(name)}`;
};
