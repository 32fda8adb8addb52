// Which hosts are this machine itself: decides whether a password may travel without TLS and whether a
// server may do without a token, so a name that only looks like it must not pass.
import { expect, test } from "vitest";
import { isLoopbackHost } from "./settings.ts";

test("the whole 127 block, both spellings of ::1 and localhost are this machine", () => {
  const names = ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]"];
  expect(names.filter((name) => !isLoopbackHost(name))).toEqual([]);
});

test("nothing else is this machine", () => {
  const names = [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "128.0.0.1",
    "[::1",
    "[localhost]",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "",
  ];
  expect(names.filter(isLoopbackHost)).toEqual([]);
});
