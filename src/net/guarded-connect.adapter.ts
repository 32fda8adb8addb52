// How a pool of undici connects: TCP under the egress guard, then TLS on that socket. Refuses literals,
// every address of a look-up, and the peer itself before the first byte; the undici sender and the S3 adapter are its callers.
import { lookup } from "node:dns";
import { connect as connectTcp, type LookupFunction, type Socket } from "node:net";
import { buildConnector } from "undici";
import { isPrivateAddress, literalOf, refuseAddress } from "./egress-guard.ts";

/** Well above any network that works; the caller's signal is usually shorter. */
const CONNECT_TIMEOUT_MS = 30_000;

/** An error that is known by its code, as the errors of Node are. */
const coded = (code: string): Error => Object.assign(new Error(code), { code });

/** Is `address` no place for this protocol? Plain HTTP goes to private addresses alone. */
const isRefused = (address: string, protocol: string, allowPrivate: boolean): boolean =>
  refuseAddress(address, allowPrivate) !== null ||
  (protocol === "http:" && !isPrivateAddress(address));

/** The system's look-up, refused as a whole when any of its addresses is. */
const guardedLookup =
  (protocol: string, allowPrivate: boolean): LookupFunction =>
  (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null) callback(error, []);
      else if (first === undefined) callback(coded("ENOTFOUND"), []);
      else if (addresses.some(({ address }) => isRefused(address, protocol, allowPrivate))) {
        callback(coded("EGRESS_REFUSED"), []);
      } else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };

/**
 * A connector for undici pools. Literals are judged first because Node makes no look-up for them; the
 * peer is judged again before a byte is written. A refusal is an error with the code `EGRESS_REFUSED`.
 * TCP and TLS have `timeoutMs` each.
 */
export const guardedConnect = (
  allowPrivate: boolean,
  timeoutMs = CONNECT_TIMEOUT_MS,
): buildConnector.connector => {
  const connectTls = buildConnector({ allowH2: false, timeout: timeoutMs });
  return (options, callback): Socket | undefined => {
    const { hostname, protocol } = options;
    const literal = literalOf(hostname);
    if (literal !== null && isRefused(literal, protocol, allowPrivate)) {
      callback(coded("EGRESS_REFUSED"), null);
      return undefined;
    }
    const isTls = protocol === "https:";
    const port = options.port === "" ? (isTls ? 443 : 80) : Number(options.port);
    const socket = connectTcp({
      host: hostname,
      port,
      lookup: guardedLookup(protocol, allowPrivate),
      noDelay: true,
      keepAlive: true,
    });
    const giveUp = (error: Error): void => callback(error, null);
    const tooLate = (): void => void socket.destroy(coded("ETIMEDOUT"));
    socket.setTimeout(timeoutMs, tooLate);
    socket.once("error", giveUp);
    socket.once("connect", () => {
      socket.setTimeout(0, tooLate);
      socket.off("error", giveUp);
      const peer = socket.remoteAddress;
      if (peer === undefined || isRefused(peer, protocol, allowPrivate)) {
        socket.destroy();
        // Without a peer the other side has already hung up.
        giveUp(coded(peer === undefined ? "ECONNRESET" : "EGRESS_REFUSED"));
      } else if (isTls) {
        // From here on the TLS socket reports what goes wrong.
        socket.on("error", () => undefined);
        connectTls({ ...options, httpSocket: socket }, callback);
      } else callback(null, socket);
    });
    return socket;
  };
};
