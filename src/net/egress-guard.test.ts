// What the egress guard refuses and what it lets through, address by address and spelling by spelling.
// The table of refused spellings is the one an attacker would try first.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isPrivateAddress, refuseAddress, refuseUrl } from "./egress-guard.ts";

describe("refuseAddress", () => {
  test.each([
    ["127.0.0.1", "loopback"],
    ["127.255.0.9", "loopback"],
    ["0.0.0.0", "loopback"],
    ["::", "loopback"],
    ["::1", "loopback"],
    ["10.1.2.3", "private"],
    ["172.31.0.1", "private"],
    ["192.168.1.1", "private"],
    ["100.64.0.1", "private"],
    ["fd12:3456::1", "private"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::ffff:10.0.0.1", "private"],
    ["::ffff:0:192.168.0.1", "private"],
    ["64:ff9b::a00:1", "private"],
    ["2002:7f00:1::1", "loopback"],
  ])("refuses %s as %s unless private addresses are allowed", (address, reason) => {
    expect(refuseAddress(address, false)).toBe(reason);
    expect(refuseAddress(address, true)).toBeNull();
    expect(isPrivateAddress(address)).toBe(true);
  });

  test.each([
    ["169.254.169.254", "metadata"],
    ["::ffff:169.254.169.254", "metadata"],
    ["64:ff9b::a9fe:a9fe", "metadata"],
    ["2002:a9fe:a9fe::1", "metadata"],
    ["100.100.100.200", "metadata"],
    ["168.63.129.16", "metadata"],
    ["fd00:ec2::254", "metadata"],
    ["fd20:ce::254", "metadata"],
    ["169.254.1.1", "link_local"],
    ["fe80::1", "link_local"],
    ["fe80::1%eth0", "link_local"],
    ["224.0.0.1", "multicast"],
    ["ff02::1", "multicast"],
    ["255.255.255.255", "broadcast"],
    ["0.0.0.1", "reserved"],
    ["192.0.2.1", "reserved"],
    ["198.18.0.1", "reserved"],
    ["240.0.0.1", "reserved"],
    ["2001:db8::1", "reserved"],
    ["2001::1", "reserved"],
    ["64:ff9b:1::a00:1", "reserved"],
    ["::7f00:1", "reserved"],
    ["fec0::1", "reserved"],
    ["4000::1", "reserved"],
    ["example.com", "malformed"],
    ["", "malformed"],
  ])("refuses %s as %s whatever is allowed", (address, reason) => {
    expect(refuseAddress(address, false)).toBe(reason);
    expect(refuseAddress(address, true)).toBe(reason);
    expect(isPrivateAddress(address)).toBe(false);
  });

  test.each(["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])(
    "lets the public address %s through",
    (address) => {
      expect(refuseAddress(address, false)).toBeNull();
      expect(isPrivateAddress(address)).toBe(false);
    },
  );

  test("judges an IPv4 address and its mapped form alike", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.boolean(), (address, allowed) => {
        expect(refuseAddress(`::ffff:${address}`, allowed)).toBe(refuseAddress(address, allowed));
      }),
    );
  });

  test("pardons nothing but private and loopback addresses", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        const strict = refuseAddress(address, false);
        const pardoned = strict === "private" || strict === "loopback";
        expect(refuseAddress(address, true)).toBe(pardoned ? null : strict);
      }),
    );
  });
});

describe("refuseUrl", () => {
  test.each([
    ["127.0.0.1", "loopback"],
    ["[::ffff:127.0.0.1]", "loopback"],
    ["2130706433", "loopback"],
    ["0x7f.1", "loopback"],
    ["0", "loopback"],
    ["localhost", "loopback"],
    ["LOCALHOST.", "loopback"],
    ["api.localhost", "loopback"],
    ["127.0.0.1.", "loopback"],
    ["0177.0.0.1", "loopback"],
    ["[::]", "loopback"],
    ["10.0.0.1", "private"],
  ])("refuses the host spelled %s as %s, also over https", (host, reason) => {
    expect(refuseUrl(`http://${host}/hook`, false)).toBe(reason);
    expect(refuseUrl(`https://${host}:8443/hook`, false)).toBe(reason);
    expect(refuseUrl(`http://${host}/hook`, true)).toBeNull();
  });

  test("refuses the metadata service whatever is allowed", () => {
    expect(refuseUrl("http://169.254.169.254/", false)).toBe("metadata");
    expect(refuseUrl("http://169.254.169.254/", true)).toBe("metadata");
    expect(refuseUrl("https://2852039166/", true)).toBe("metadata");
  });

  test("refuses plain http to a name or a public literal unless it may be private", () => {
    expect(refuseUrl("http://hooks.example.com/", false)).toBe("insecure");
    expect(refuseUrl("http://8.8.8.8/", false)).toBe("insecure");
    expect(refuseUrl("http://8.8.8.8/", true)).toBe("insecure");
    expect(refuseUrl("http://receiver.internal/", true)).toBeNull();
  });

  test.each([
    ["ftp://example.com/", "scheme"],
    ["file:///etc/passwd", "scheme"],
    ["javascript:1", "scheme"],
    ["https://me:secret@example.com/", "userinfo"],
    ["https://me@example.com/", "userinfo"],
    ["example.com/hook", "malformed"],
    ["https://", "malformed"],
    ["", "malformed"],
  ])("refuses %j as %s", (url, reason) => {
    expect(refuseUrl(url, false)).toBe(reason);
    expect(refuseUrl(url, true)).toBe(reason);
  });

  test("lets https to a public name and to a public literal through", () => {
    expect(refuseUrl("https://hooks.example.com/a?b", false)).toBeNull();
    expect(refuseUrl("https://[2606:4700::1111]/", false)).toBeNull();
    expect(refuseUrl("https://notlocalhost/", false)).toBeNull();
  });
});
