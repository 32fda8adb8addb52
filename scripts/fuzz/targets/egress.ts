// The egress guard against a second opinion: Node's own BlockList with the registries of special
// addresses. What the guard lets through must not be on it, however it is spelled.
import { BlockList, isIP } from "node:net";
import fc from "fast-check";
import { refuseAddress, refuseUrl } from "../../../src/net/egress-guard.ts";
import { createTarget, must } from "../target.ts";

/** What no webhook may reach (IANA registries of special-purpose addresses, and metadata services). */
const FORBIDDEN: readonly (readonly [network: string, prefix: number])[] = [
  ...([
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
  ] as const),
  ...([
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
  ] as const),
  ...([
    ["192.168.0.0", 16],
    ["198.18.0.0", 15],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
  ] as const),
  ...([
    ["224.0.0.0", 4],
    ["240.0.0.0", 4],
    ["168.63.129.16", 32],
  ] as const),
  ...([
    ["::", 96],
    ["fc00::", 7],
    ["fe80::", 10],
    ["fec0::", 10],
    ["ff00::", 8],
  ] as const),
  ...([
    ["2001:db8::", 32],
    ["2001::", 32],
    ["100::", 64],
    ["64:ff9b:1::", 48],
  ] as const),
];

const forbidden = new BlockList();
for (const [network, prefix] of FORBIDDEN) {
  forbidden.addSubnet(network, prefix, network.includes(":") ? "ipv6" : "ipv4");
}

/** The eight groups of an IPv6 address, as WHATWG URL writes it. */
const groupsOf = (address: string): number[] => {
  const written = new URL(`http://[${address.replace(/%.*$/, "")}]/`).hostname.slice(1, -1);
  const [head = "", tail] = written.split("::");
  const numbers = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const [before, after] = [numbers(head), numbers(tail ?? "")];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array.from({ length: zeros }, () => 0), ...after];
};

/** The IPv4 address that translators and tunnels make of an IPv6 one, or null. */
const insideOf = (address: string): string | null => {
  const groups = groupsOf(address);
  const dotted = (high = 0, low = 0): string =>
    [high >> 8, high & 255, low >> 8, low & 255].join(".");
  if (groups[0] === 0x2002) return dotted(groups[1], groups[2]);
  const start = groups
    .slice(0, 6)
    .map((group) => group.toString(16))
    .join(":");
  const isTranslated = ["64:ff9b:0:0:0:0", "0:0:0:0:0:ffff", "0:0:0:0:ffff:0"].includes(start);
  return isTranslated ? dotted(groups[6], groups[7]) : null;
};

const isForbidden = (address: string): boolean => {
  if (isIP(address) === 4) return forbidden.check(address, "ipv4");
  const inner = insideOf(address);
  return inner === null ? forbidden.check(address, "ipv6") : forbidden.check(inner, "ipv4");
};

const SPECIAL = [
  ...["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "172.31.255.255", "100.64.0.1"],
  ...["8.8.8.8", "1.1.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "172.32.0.1", "11.0.0.1"],
];

const ipv4 = fc.oneof(fc.constantFrom(...SPECIAL), fc.ipV4());

/** One address in the spellings that URL parsers take. */
const spelled = fc.tuple(ipv4, fc.nat(9)).map(([address, kind]) => {
  const bytes = address.split(".").map(Number);
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  const number = ((a * 256 + b) * 256 + c) * 256 + d;
  const hex = (value: number): string => value.toString(16);
  const pair = `${hex(a * 256 + b)}:${hex(c * 256 + d)}`;
  const spellings = [
    ...[address, `${address}.`, String(number), `0x${hex(number)}`, `0${number.toString(8)}`],
    ...[bytes.map((byte) => `0x${hex(byte)}`).join("."), `${a}.${number % 0x1000000}`],
    ...[`[::ffff:${address}]`, `[64:ff9b::${pair}]`, `[2002:${pair}::1]`],
  ];
  return spellings[kind] ?? address;
});

const host = fc.oneof(
  { weight: 4, arbitrary: spelled },
  { weight: 2, arbitrary: fc.ipV6().map((address) => `[${address}]`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("localhost", "a.LOCALHOST.", "example.com", "１２７.0.0.1"),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 20 }) },
);

/** Any URL and address. */
export const egress = createTarget({
  name: "egress",
  weight: 14,
  cases: fc.record({
    scheme: fc.constantFrom("https://", "http://", "HTTPS://", "https:", "ftp://", "//", "file://"),
    user: fc.constantFrom("", "", "", "a@", "a:b@", "example.com@"),
    host,
    rest: fc.constantFrom(
      "",
      "/",
      ":443/",
      ":8080/a?b#c",
      "\\@example.com",
      "#@example.com",
      "\t/",
    ),
    allowed: fc.boolean(),
  }),
  run: ({ scheme, user, host: written, rest, allowed }, meter) => {
    const url = `${scheme}${user}${written}${rest}`;
    const reason = meter.turn(() => refuseUrl(url, allowed));
    const parsed = URL.parse(url);
    if (reason === null) {
      must(parsed !== null && /^https?:$/.test(parsed.protocol), "no URL of the web");
      must(`${parsed?.username}${parsed?.password}` === "", "a URL with a user");
      const hostname = parsed?.hostname.replaceAll(/^\[|\]$/g, "").replace(/\.$/, "") ?? "";
      if (!allowed) {
        must(parsed?.protocol === "https:", "plain HTTP to somebody");
        must(isIP(hostname) === 0 || !isForbidden(hostname), "a private address passes");
        must(!/(^|\.)localhost$/.test(hostname), "this machine passes by name");
      }
      must(!/^(169\.254\.|fe[89ab]|ff)/.test(hostname) || isIP(hostname) === 0, "never allowed");
    }
    const bare = written.replaceAll(/^\[|\]$/g, "");
    const refusal = meter.turn(() => refuseAddress(bare, false));
    // Old spellings of IPv4 addresses are what a URL makes of them.
    const meant = isIP(bare) === 0 ? (URL.parse(`http://${bare}/`)?.hostname ?? "") : bare;
    // The guard takes the dotted form of ::/96 for the mapped one, and judges the address inside.
    const isCompatible = /^::[\d.]+$/.test(bare) && bare.includes(".");
    const judged = isCompatible ? bare.slice(2) : meant;
    must(refusal !== null || (isIP(judged) !== 0 && !isForbidden(judged)), "an address passes");
    return [reason, refusal];
  },
});
