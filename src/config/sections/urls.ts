// Addresses in the configuration: what is one at all, and which of them nothing is ever sent to, in the
// words of whoever has to write another. The sections `webhook` and `offload` are built with it.
import { z } from "zod";
import { refuseUrl } from "../../net/egress-guard.ts";

const URL_TEXT = "write a full address that begins with https://";

/** Is it a whole URL by http or https that names no user? */
const isHttpUrl = (text: string): boolean => {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return false;
  return url.username === "" && url.password === "";
};

/** A whole URL by http or https that names no user. Which of the two it may be is for the section. */
export const httpUrl = z.string({ error: URL_TEXT }).refine(isHttpUrl, { error: URL_TEXT });

/** What to write in place of an http address that does not have to be one. */
export const insecureText = (section: string): string =>
  `write an https:// address; http:// is accepted only for a private address, with ${section}.allow_private_addresses: true`;

/**
 * What to write in place of `url` when nothing will ever be sent there, else null. `isOpen` is the
 * section's `allow_private_addresses`.
 */
export const refusedUrl = (
  url: string,
  { section, isOpen }: { section: string; isOpen: boolean },
): string | null => {
  const reason = refuseUrl(url, isOpen);
  switch (reason) {
    case null:
      return null;
    case "private":
    case "loopback":
      return `the address is ${reason}; set ${section}.allow_private_addresses: true if it is meant`;
    case "insecure":
      return insecureText(section);
    case "scheme":
    case "userinfo":
    case "malformed":
      return URL_TEXT;
    default:
      return `the address is never sent to (${reason}); write another one`;
  }
};
