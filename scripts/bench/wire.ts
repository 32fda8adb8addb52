// How fast the mail server is by itself: one socket asks for every message whole and throws away what
// comes. Nothing that reads mail can be faster, so it is the measure of what is left to gain.
import { once } from "node:events";
import { connect } from "node:net";

/** Longer than any tagged reply. */
const TAIL_BYTES = 256;

/** Reads every message of the INBOX once; returns seconds from the log-in on and octets read. */
export const readWire = async (server: {
  port: number;
  user: string;
  password: string;
}): Promise<{ seconds: number; bytes: number }> => {
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "data");
  const startMs = performance.now();
  let bytes = 0;
  let tail = "";
  const done = new Promise<void>((resolve, reject) => {
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      tail = (tail + chunk.subarray(-TAIL_BYTES).toString("latin1")).slice(-TAIL_BYTES);
      if (/^c OK .*\r\n$/m.test(tail)) resolve();
      else if (/^[abc] (NO|BAD) /m.test(tail)) reject(new Error("the mail server refused"));
    });
    socket.once("close", () => reject(new Error("the mail server hung up")));
  });
  socket.write(
    `a LOGIN "${server.user}" "${server.password}"\r\nb EXAMINE INBOX\r\nc UID FETCH 1:* (BODY.PEEK[])\r\n`,
  );
  await done;
  const seconds = (performance.now() - startMs) / 1000;
  socket.destroy();
  return { seconds, bytes };
};
