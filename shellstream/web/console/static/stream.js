// Output of a run over HTTP, as records, resumed at its offset after every cut.

import { Problem, request } from "./api.js";

const NDJSON = "application/x-ndjson";
/** The server sends a ping every 15 seconds: after this long the way is broken. */
const SILENCE = 40_000;
const FIRST_WAIT = 250, LAST_WAIT = 8000;

/**
 * Records from an offset on, in lists as they arrive: `{type, offset, ...}`. Records of
 * output have no `type` but `time`, `err` and `bytes`; see /openapi.json for the others.
 *
 * @param {object} options
 * @param {AbortSignal} options.signal ends it
 * @param {boolean} options.follow whether to go on until the run ends
 * @param {(connected: boolean) => void} options.connected told of cuts
 * @throws {Problem} if the daemon refuses
 */
export async function* output(path, offset, { signal, follow = true, connected = () => {}, query = "" }) {
  for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LAST_WAIT)) {
    try {
      const url = `${path}?offset=${offset}&follow=${follow}${query}`;
      const answer = await request(url, { headers: { Accept: NDJSON }, signal });
      connected(true);
      for await (const records of lists(answer.body)) {
        wait = FIRST_WAIT;
        const last = records.at(-1);
        offset = last.type === "gap" ? last.end : last.offset + (last.bytes?.length ?? 0);
        yield records;
        if (last.type === "end") return;
      }
      if (!follow) return;
    } catch (error) {
      if (signal.aborted) return;
      const { status = 0 } = error;
      if (status >= 400 && status < 500 && status !== 429) throw error;
      if (!(error instanceof Problem || error instanceof TypeError || error instanceof Cut)) throw error;
    }
    connected(false);
    await pause(wait, signal);
    if (signal.aborted) return;
  }
}

/** The way was silent for too long. */
class Cut extends Error {}

async function* lists(body) {
  const reader = body.getReader();
  let rest = new Uint8Array(0);
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read());
      if (done) return;
      const last = value.lastIndexOf(10);
      if (last < 0) {
        rest = join(rest, value);
        continue;
      }
      const lines = decoder.decode(join(rest, value.subarray(0, last))).split("\n");
      rest = value.slice(last + 1);
      const records = lines.map(parse).filter((each) => each.type !== "ping");
      if (records.length > 0) yield records;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

function join(a, b) {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** A record, with its bytes whatever they are. */
export function parse(line) {
  const { stream, text, base64, ...record } = JSON.parse(line);
  if (stream === undefined) return record;
  record.err = stream === "stderr";
  record.bytes = text === undefined
    ? Uint8Array.from(atob(base64), (each) => each.charCodeAt(0))
    : encoder.encode(text);
  return record;
}

function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Cut("no sign of life")), SILENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Wait; less if the machine comes online meanwhile. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
