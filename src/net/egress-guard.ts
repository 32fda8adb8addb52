// The egress guard: which addresses and URLs the program may send mail to. Pure functions on text; the
// undici adapter asks them before it connects, for every address of a look-up and for the peer of the
// socket, config/ asks them when a configuration is checked (DESIGN section 8).
import ipaddr from "ipaddr.js";

/** Why an address is refused. `private` and `loopback` are the ones an operator can allow. */
export type AddressRefusal =
  | "private"
  | "loopback"
  | "link_local"
  | "metadata"
  | "multicast"
  | "broadcast"
  | "reserved"
  | "malformed";

/** Why a URL is refused before anything is looked up. */
export type UrlRefusal = AddressRefusal | "scheme" | "userinfo" | "insecure";

/**
 * Services that hand out the credentials of a virtual machine: AWS, Google, Oracle, Scaleway, Alibaba
 * and Azure. The ones at 169.254.0.0/16 are named too, so that a refusal says what it refused.
 */
const METADATA = [
  "169.254.169.254/32",
  "169.254.170.2/32",
  "169.254.42.42/32",
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
  "fd00:ec2::/32",
  "fd20:ce::254/128",
  "fd00:c1::a9fe:a9fe/128",
  "fd00:42::42/128",
].map((range) => ipaddr.parseCIDR(range));

const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3");
const NAT64 = ipaddr.parseCIDR("64:ff9b::/96");

type Parsed = ipaddr.IPv4 | ipaddr.IPv6;

const isIn = (address: Parsed, range: [Parsed, number]): boolean =>
  address.kind() === range[0].kind() && address.match(range);

/** The IPv4 address that an IPv6 one stands for: mapped, translated (RFC 6052, 6145), 6to4 (RFC 3056). */
const embedded = (address: ipaddr.IPv6): ipaddr.IPv4 | null => {
  const bytes = address.toByteArray();
  const range = address.range();
  if (range === "ipv4Mapped" || range === "rfc6145" || isIn(address, NAT64)) {
    return new ipaddr.IPv4(bytes.slice(12));
  }
  return range === "6to4" ? new ipaddr.IPv4(bytes.slice(2, 6)) : null;
};

const IPV4_WORDS: Readonly<Record<string, AddressRefusal | null>> = {
  unicast: null,
  private: "private",
  carrierGradeNat: "private",
  loopback: "loopback",
  linkLocal: "link_local",
  multicast: "multicast",
  broadcast: "broadcast",
};

const IPV6_WORDS: Readonly<Record<string, AddressRefusal>> = {
  uniqueLocal: "private",
  loopback: "loopback",
  unspecified: "loopback",
  linkLocal: "link_local",
  multicast: "multicast",
};

const judgeIpv6 = (address: ipaddr.IPv6): AddressRefusal | null => {
  const range = address.range();
  if (range === "unicast" && isIn(address, GLOBAL_IPV6)) return null;
  return IPV6_WORDS[range] ?? "reserved";
};

const judge = (address: Parsed): AddressRefusal | null => {
  if (address instanceof ipaddr.IPv6) {
    const inner = embedded(address);
    if (inner !== null) return judge(inner);
  }
  if (METADATA.some((range) => isIn(address, range))) return "metadata";
  if (address instanceof ipaddr.IPv6) return judgeIpv6(address);
  // Connecting to 0.0.0.0 reaches this host; the rest of 0.0.0.0/8 reaches nothing.
  if (address.toString() === "0.0.0.0") return "loopback";
  const word = IPV4_WORDS[address.range()];
  return word === undefined ? "reserved" : word;
};

/** Only these two yield to `allow_private_addresses`. */
const pardoned = <T extends UrlRefusal>(reason: T | null, allowPrivate: boolean): T | null =>
  allowPrivate && (reason === "private" || reason === "loopback") ? null : reason;

/**
 * Null when requests may go to `address` (an IP address as text, with or without a zone); else the
 * reason. Only global unicast passes; `allowPrivate` adds private and loopback addresses and nothing
 * else. An IPv6 address that embeds an IPv4 one is judged by the embedded one.
 */
export const refuseAddress = (address: string, allowPrivate: boolean): AddressRefusal | null => {
  if (!ipaddr.isValid(address)) return "malformed";
  return pardoned(judge(ipaddr.parse(address)), allowPrivate);
};

/** Is `address` private or loopback, so that plain HTTP to it may be allowed? */
export const isPrivateAddress = (address: string): boolean =>
  refuseAddress(address, false) !== null && refuseAddress(address, true) === null;

/** The IP literal of a parsed URL's host (brackets off), or null for a name. */
export const literalOf = (hostname: string): string | null => {
  const bare = hostname.replace(/^\[|\]$/g, "");
  return ipaddr.isValid(bare) ? bare : null;
};

const refuseHost = (hostname: string): AddressRefusal | null => {
  const literal = literalOf(hostname);
  if (literal !== null) return refuseAddress(literal, false);
  return /^(.+\.)?localhost\.?$/.test(hostname) ? "loopback" : null;
};

/**
 * Null when `url` may be tried; else the reason. Parsed as WHATWG URL does, so every spelling of an IP
 * literal is judged as the address it means. A host name passes here and is judged at the look-up.
 * `http:` passes only with `allowPrivate`, and then the adapter insists on a private address.
 */
export const refuseUrl = (url: string, allowPrivate: boolean): UrlRefusal | null => {
  if (!URL.canParse(url)) return "malformed";
  const { protocol, username, password, hostname } = new URL(url);
  if (protocol !== "https:" && protocol !== "http:") return "scheme";
  if (username !== "" || password !== "") return "userinfo";
  const reason = refuseHost(hostname);
  const refused = pardoned(reason, allowPrivate);
  if (refused !== null) return refused;
  if (protocol === "https:") return null;
  const isPublicLiteral = reason === null && literalOf(hostname) !== null;
  return allowPrivate && !isPublicLiteral ? null : "insecure";
};
